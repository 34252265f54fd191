# libpfstatus for C: shared and static, with what finds them once installed.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Before 1.0 a minor release may break what is public, and the soname says so.
if(PFS_VERSION_MAJOR EQUAL 0)
  set(PFSTATUS_SOVERSION "${PFSTATUS_API}")
else()
  set(PFSTATUS_SOVERSION "${PFS_VERSION_MAJOR}")
endif()
set(MAP "${PROJECT_SOURCE_DIR}/cmake/pfstatus.map")

add_library(pfstatus_objects OBJECT ${PFSTATUS_SOURCES})
set_target_properties(pfstatus_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(pfstatus_objects PRIVATE pfstatus_flags)

add_library(pfstatus SHARED $<TARGET_OBJECTS:pfstatus_objects>)
target_link_libraries(pfstatus PRIVATE PkgConfig::LIBNL Threads::Threads)
target_link_options(pfstatus PRIVATE "-Wl,--version-script=${MAP}" ${SANITIZE})
if(NOT SANITIZE)
  target_link_options(pfstatus PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(pfstatus PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION "${PFSTATUS_SOVERSION}"
                      LINK_DEPENDS "${MAP}" LINKER_LANGUAGE C)

# A hidden symbol is hidden from other libraries, not from what an archive is linked with: one
# object, whose helpers are made local.
set(ONE "${CMAKE_CURRENT_BINARY_DIR}/pfstatus_static.o")
add_custom_command(
  OUTPUT "${ONE}"
  COMMAND "${CMAKE_C_COMPILER}" -r -nostdlib -o "${ONE}" $<TARGET_OBJECTS:pfstatus_objects>
  COMMAND "${CMAKE_OBJCOPY}" --localize-hidden "${ONE}"
  DEPENDS pfstatus_objects $<TARGET_OBJECTS:pfstatus_objects>
  COMMAND_EXPAND_LISTS VERBATIM)
add_library(pfstatus_static STATIC "${ONE}")
set_source_files_properties("${ONE}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
target_link_libraries(pfstatus_static PUBLIC PkgConfig::LIBNL Threads::Threads)
set_target_properties(pfstatus_static PROPERTIES OUTPUT_NAME pfstatus EXPORT_NAME static
                      LINKER_LANGUAGE C)

foreach(target pfstatus pfstatus_static)
  target_include_directories(${target} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/csrc>"
    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
endforeach()

# Found from where it lies, so that "cmake --install build --prefix" may move it.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(PFSTATUS_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" PFSTATUS_PC_PREFIX "\${pcfiledir}/${up}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(PFSTATUS_PC_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(PFSTATUS_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
configure_file(cmake/pfstatus.pc.in pfstatus.pc @ONLY)

set(PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/pfstatus")
configure_package_config_file(cmake/pfstatusConfig.cmake.in pfstatusConfig.cmake
                              INSTALL_DESTINATION "${PACKAGE_DIR}")
# Before 1.0 a minor release may break what is public.
write_basic_package_version_file(pfstatusConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS pfstatus EXPORT pfstatusTargets)
install(TARGETS pfstatus_static EXPORT pfstatusStaticTargets)
install(EXPORT pfstatusTargets NAMESPACE pfstatus:: DESTINATION "${PACKAGE_DIR}")
install(EXPORT pfstatusStaticTargets NAMESPACE pfstatus:: DESTINATION "${PACKAGE_DIR}")
install(FILES csrc/pfstatus.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${PROJECT_BINARY_DIR}/pfstatus.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES "${PROJECT_BINARY_DIR}/pfstatusConfig.cmake"
              "${PROJECT_BINARY_DIR}/pfstatusConfigVersion.cmake" DESTINATION "${PACKAGE_DIR}")
