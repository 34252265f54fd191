# Sets PFSTATUS_VERSION to the numbers of the version, in step with the Python package: that one
# asks setuptools-scm, which reads the same sources and counts a commit past a tag towards the
# next release.
set(from "${CMAKE_CURRENT_LIST_DIR}/..")
set(numbers "[0-9]+\\.[0-9]+(\\.[0-9]+)?")
set(described "")
if(DEFINED SKBUILD_PROJECT_VERSION) # the Python package is being built
  set(PFSTATUS_VERSION "${SKBUILD_PROJECT_VERSION}")
elseif(EXISTS "${from}/PKG-INFO") # an sdist
  file(STRINGS "${from}/PKG-INFO" line REGEX "^Version: ${numbers}" LIMIT_COUNT 1)
  string(REGEX MATCH "${numbers}" PFSTATUS_VERSION "${line}")
elseif(EXISTS "${from}/.git") # a clone, with or without tags
  execute_process(COMMAND git describe --long --tags --match "v[0-9]*"
                  WORKING_DIRECTORY "${from}" OUTPUT_VARIABLE described ERROR_QUIET)
elseif(EXISTS "${from}/.git_archival.txt") # what "git archive" wrote
  file(STRINGS "${from}/.git_archival.txt" described REGEX "^describe-name: v[0-9]")
endif()

if(described MATCHES "v([0-9]+)\\.([0-9]+)\\.([0-9]+)(-([0-9]+)-g)?")
  set(patch "${CMAKE_MATCH_3}")
  if(CMAKE_MATCH_5)
    math(EXPR patch "${patch} + 1")
  endif()
  set(PFSTATUS_VERSION "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${patch}")
endif()
if(NOT PFSTATUS_VERSION)
  file(STRINGS "${from}/pyproject.toml" line REGEX "^fallback_version = " LIMIT_COUNT 1)
  string(REGEX MATCH "${numbers}" PFSTATUS_VERSION "${line}")
endif()
