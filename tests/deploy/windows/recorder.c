/* Stands in for sc.exe, reg.exe, icacls.exe and whoami.exe: writes its arguments to C:\recorded.txt, as the C
 * library read them from the command line, one in each line, and answers as on a machine without the service. */
#include <stdio.h>
#include <string.h>

int main(int count, char **arguments) {
    const char *name = strrchr(arguments[0], '\\');
    name = name == NULL ? arguments[0] : name + 1;
    FILE *file = fopen("C:\\recorded.txt", "a");
    if (file == NULL) return 3;
    fprintf(file, "> %s\n", name);
    for (int i = 1; i < count; i++) fprintf(file, "%s\n", arguments[i]);
    fclose(file);
    if (strstr(name, "whoami") != NULL) puts("Mandatory Label\\High Mandatory Level Label S-1-16-12288");
    /* Neither the service nor the package. */
    if (count > 1 && strcmp(arguments[1], "query") == 0) return strstr(name, "sc") != NULL ? 1060 : 1;
    return 0;
}
