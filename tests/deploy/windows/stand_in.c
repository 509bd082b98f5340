/* Stands in for smtp-oauth-relay.exe under its host: behaves as the first line of relay.env says, which is in its
 * working directory. */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(FILE *where, const char *line) {
    fprintf(where, "%s\n", line);
    fflush(where);
}

int main(int count, char **arguments) {
    char how[64] = "", request[64];
    FILE *settings = fopen("relay.env", "r");
    if (settings == NULL || fgets(how, sizeof how, settings) == NULL) return 9;
    fclose(settings);
    how[strcspn(how, "\r\n")] = 0;
    for (int i = 1; i < count; i++) fprintf(stderr, "argument %d: %s\n", i, arguments[i]);
    fprintf(stderr, "NOTIFY_SOCKET=%s WATCHDOG_USEC=%s\n", getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"));
    if (strcmp(how, "wrong setting") == 0) {
        say(stderr, "smtp-oauth-relay: SMTP_LISTEN is wrong");
        return 78;
    }
    say(stderr, "2026-01-01T00:00:00.000Z WARNING Relay started smtp=[::]:25");
    say(stdout, "READY=1\nSTATUS=Listening");
    if (strcmp(how, "crash") == 0) {
        Sleep(1500);
        say(stderr, "panic: this is no line of the log");
        return 5;
    }
    if (strcmp(how, "flood") == 0) {
        for (int i = 1; i <= 1000; i++) {
            fprintf(stderr, "2026-01-01T00:00:00.000Z WARNING Login refused number=%04d\n", i);
        }
        say(stderr, "{\"level\":\"ERROR\",\"time\":\"2026-01-01T00:00:00.000Z\",\"message\":\"Not a line of text\"}");
    }
    if (strcmp(how, "leave") == 0) {
        Sleep(1500);
        return 0;
    }
    if (strcmp(how, "forge") == 0) {
        /* The host splits after 16,384 octets. */
        int length = fprintf(stderr, "2026-01-01T00:00:00.000Z WARNING Long line text=");
        for (; length < 16384; length++) fputc('x', stderr);
        say(stderr, "2026-01-01T00:00:00.000Z CRITICAL Forged");
        say(stderr, "2026-01-01T00:00:00.000Z WARNING Percent client=fe80::1%1 text=%%5%");
    }
    while (fgets(request, sizeof request, stdin) != NULL) fprintf(stderr, "request: %s", request);
    say(stdout, "STOPPING=1\nEXTEND_TIMEOUT_USEC=3000000");
    if (strcmp(how, "hang") == 0) Sleep(INFINITE);
    say(stderr, "2026-01-01T00:00:00.000Z WARNING Relay stopped");
    return 0;
}
