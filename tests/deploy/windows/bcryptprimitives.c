/* Wine 8 does not have this library, of which Bun needs one function: random octets. */
#include <windows.h>

/* RtlGenRandom of advapi32.dll */
BOOLEAN NTAPI SystemFunction036(PVOID octets, ULONG count);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE octets, SIZE_T count) {
    return SystemFunction036(octets, (ULONG)count);
}
