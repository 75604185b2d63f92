# What `cmake --install` installs and `cpack` packs (./dev package): the programs, configs, docs, and what scripts/package/manual.py makes of the
# programs' --help.

# The build folder has the configs where an installation has them.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/share/dropforge)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/configs ${CMAKE_BINARY_DIR}/share/dropforge/configs SYMBOLIC)

set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # no test is built for it
include(GNUInstallDirs)
install(TARGETS dropforge)
# Its name in the build folder is too common for other people's bin/. Files that are renamed are not stripped by CMake.
install(PROGRAMS $<TARGET_FILE:bench> TYPE BIN RENAME dropforge-bench)
install(CODE "
    if(CMAKE_INSTALL_DO_STRIP)
        execute_process(COMMAND \"${CMAKE_STRIP}\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/dropforge-bench\"
                        COMMAND_ERROR_IS_FATAL ANY)
    endif()")
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/dropforge)
file(GLOB documents docs/*.md)
install(FILES README.md ${documents} TYPE DOC)
install(FILES LICENSE TYPE DOC RENAME copyright)
install(CODE "
    find_program(PYTHON python3)
    if(PYTHON)
        execute_process(COMMAND \${PYTHON} \"${PROJECT_SOURCE_DIR}/scripts/package/manual.py\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\"
                                dropforge dropforge-bench COMMAND_ERROR_IS_FATAL ANY)
    else()
        message(WARNING \"no python3 here: installed without man pages and completions\")
    endif()")

# The licences of what is inside a portable program require their text with it.
if(DROPFORGE_PORTABLE)
    foreach(library libfmt-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libutf8proc-dev libxxhash-dev libzstd-dev zlib1g-dev
                    libbz2-dev liblzma-dev rapidjson-dev libcmark-gfm-dev libgumbo-dev libstdc++6)  # and libgomp1, from the same source
        file(REAL_PATH /usr/share/doc/${library}/copyright notice)
        if(EXISTS ${notice})
            install(FILES ${notice} DESTINATION ${CMAKE_INSTALL_DOCDIR}/libraries RENAME ${library}.txt)
        endif()
    endforeach()
endif()

set(CPACK_GENERATOR DEB TZST)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_VENDOR "The authors of Dropforge")
set(CPACK_PACKAGE_CONTACT ${CPACK_PACKAGE_VENDOR})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Pretrains BERT encoders from scratch")
set(CPACK_PACKAGE_DESCRIPTION "Plain text in, a checkpoint out that Hugging Face opens as it is.
Dense training, token dropping and semantic-consistent token dropping, on the
CPU, and on NVIDIA GPUs where it was built with CUDA.")
string(TOLOWER ${CMAKE_SYSTEM_NAME} system)
set(CPACK_ARCHIVE_FILE_NAME dropforge-${PROJECT_VERSION}-${system}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_PACKAGE_FILE_NAME ${CPACK_ARCHIVE_FILE_NAME})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
