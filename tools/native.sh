#!/usr/bin/env bash
# The C code without Python: tests/native with csrc, under the compilers' sanitizers, and for other
# processors where their compilers are installed. What is missing is skipped, and said.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/native

flags=(-std=c11 -g -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread -Wall -Wextra
       -Wno-pass-failed -Icsrc) # clang says of many loops that it does not unroll them
sources=(tests/native/*.c csrc/*.c)

build() { # name, compiler, its flags: the program is build/native/<name>
    echo "== $1"
    "$2" "${flags[@]}" "${@:3}" -o "build/native/$1" "${sources[@]}" -lm
}

CC=${CC:-gcc}
mingw=/usr/share/mingw-w64/include
build plain "$CC" -O3
build/native/plain
build address-and-undefined "$CC" -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
build/native/address-and-undefined
build threads "$CC" -O1 -fsanitize=thread
TSAN_OPTIONS=die_after_fork=0:halt_on_error=1 build/native/threads

if command -v clang > /dev/null; then
    build clang clang -O3
    build/native/clang
else
    echo "-- skipped, not installed: clang"
fi
if command -v musl-gcc > /dev/null; then
    build musl musl-gcc -O3 -static
    build/native/musl
else
    echo "-- skipped, not installed: musl-gcc"
fi
if command -v aarch64-linux-gnu-gcc > /dev/null && command -v qemu-aarch64-static > /dev/null; then
    build arm64 aarch64-linux-gnu-gcc -O3 -static
    qemu-aarch64-static build/native/arm64
else
    echo "-- skipped, not installed: aarch64-linux-gnu-gcc and qemu-aarch64-static"
fi
if command -v x86_64-w64-mingw32-gcc > /dev/null; then
    build windows.exe x86_64-w64-mingw32-gcc -O3 -static
    if command -v wine > /dev/null; then WINEDEBUG=-all wine build/native/windows.exe; fi
else
    echo "-- skipped, not installed: x86_64-w64-mingw32-gcc"
fi
if command -v clang > /dev/null && [ -d "$mingw" ]; then
    echo "== as Microsoft's compiler reads it: the syntax, with mingw-w64's headers"
    cat > build/native/msvc.h << 'END'
#include <_mingw.h>
#undef __attribute__ /* which it defines away where there is no __GNUC__ */
#undef __MINGW_ATTRIB_NORETURN
#undef __MINGW_ATTRIB_DEPRECATED
#define __MINGW_ATTRIB_NORETURN
#define __MINGW_ATTRIB_DEPRECATED
#define _INC_SETJMP /* clang's intrin.h declares _setjmp otherwise */
typedef int jmp_buf[16];
END
    # The instructions are named since clang's headers hide what is not, where Microsoft's are expected.
    clang --target=x86_64-pc-windows-msvc -fms-compatibility-version=19.40 -std=c11 -fsyntax-only -Wall -Wextra \
        -Wno-microsoft -Werror -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512cd -mfma -mbmi -mbmi2 \
        -Icsrc -idirafter "$mingw" -include build/native/msvc.h csrc/*.c
else
    echo "-- skipped, not installed: clang and mingw-w64's headers, for the syntax of Microsoft's compiler"
fi
zig=(.venv/bin/python -P -m ziglang)
if "${zig[@]}" version > /dev/null 2>&1; then
    for target in x86_64-macos aarch64-macos aarch64-windows-gnu; do
        echo "== compiled only: $target"
        for file in csrc/*.c; do
            "${zig[@]}" cc -target "$target" "${flags[@]}" -Werror -Wno-unused-command-line-argument -O1 \
                -c "$file" -o build/native/compiled.o
        done
    done
else
    echo "-- skipped, not installed: ziglang, a package for .venv that compiles for macOS and Windows on Arm"
fi
if command -v valgrind > /dev/null; then
    echo "== valgrind (it has no AVX-512)"
    valgrind -q --error-exitcode=1 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        build/native/plain
else
    echo "-- skipped, not installed: valgrind"
fi
