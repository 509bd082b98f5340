/* control.exe NUMBER sends a control to the service, which Wine's sc.exe cannot; without a number, it stays. */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    SERVICE_STATUS status;
    if (count == 1) Sleep(INFINITE);
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    SC_HANDLE service = OpenServiceW(manager, L"smtp-oauth-relay", SERVICE_ALL_ACCESS);
    if (count == 2 && ControlService(service, (DWORD)atoi(arguments[1]), &status)) return 0;
    printf("Windows error %lu\n", GetLastError());
    return 1;
}
