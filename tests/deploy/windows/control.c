/* control.exe NUMBER: sends a control to the service, which Wine's sc.exe cannot. */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    SERVICE_STATUS status;
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    SC_HANDLE service = OpenServiceW(manager, L"smtp-oauth-relay", SERVICE_ALL_ACCESS);
    if (count == 2 && ControlService(service, (DWORD)atoi(arguments[1]), &status)) return 0;
    printf("Windows error %lu\n", GetLastError());
    return 1;
}
