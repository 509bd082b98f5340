/* smtp-oauth-relay-service.exe: talks to the Windows service control manager for the relay.
 *
 * It starts smtp-oauth-relay.exe, which is in the same folder, with the settings of relay.env, and they talk
 * by pipes:
 *
 *   standard input    reload, in a line; its end asks the relay to stop
 *   standard output   what the relay would tell systemd (sd_notify(3)), each assignment in a line
 *   standard error    the log: goes to logs\relay.log; warnings and errors to the event log too
 *
 * Service controls: stop and preshutdown stop the relay in good order, paramchange has it read certificates
 * and LOOKUP_FILE again. A relay that does not start, or ends by itself, gives the service its exit status
 * as service-specific exit code: 78 is a wrong setting, 69 a service or port that is not available.
 *
 *   smtp-oauth-relay-service.exe [DIRECTORY [OCTETS]]
 *   smtp-oauth-relay-service.exe --check DIRECTORY
 *
 * DIRECTORY has relay.env and logs, and is the relay's working directory; %ProgramData%\smtp-oauth-relay when
 * left out. OCTETS is the size of a file of the log.
 *
 * Each user may make folders in %ProgramData%, also this one, with a relay.env in it, before the relay is
 * installed. So the relay is not started while something in DIRECTORY belongs to an account other than the
 * administrators, the system and the service. --check looks for that alone: it prints a line and ends with
 * 1 if there is something.
 */

#ifndef UNICODE
#define UNICODE
#endif
#define _WIN32_WINNT 0x0A00
#include <windows.h>
#include <aclapi.h>
#include <sddl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME L"smtp-oauth-relay"

/* Milliseconds between two looks at the relay, and between two reports to the service manager. */
#define TICK 1000
/* Milliseconds within which the next report surely comes. */
#define HINT 15000
/* Ticks: a start, as long as the relay's longest time limits; a stop, until the relay asks for more. */
#define START_TICKS 180
#define STOP_TICKS 20
/* The most that it gets. */
#define MAX_STOP_TICKS 86400
/* Ticks without a word of the relay after which it hangs; and the same for the relay, in microseconds. */
#define WATCHDOG_TICKS 60
#define WATCHDOG_USEC L"60000000"
/* Milliseconds to wait for the rest of the log of a relay that has ended. */
#define LOG_WAIT 5000

/* Files of the log: relay.log, relay.log.1 (the one before) to relay.log.4, 10 MiB each. */
#define LOG_FILES 5
#define LOG_OCTETS (10 * 1024 * 1024)
/* Octets of a line; a longer one is split. */
#define LINE_OCTETS 16384
/* Characters of a text of an event (ReportEventW). */
#define EVENT_CHARACTERS 31839
/* EX_CONFIG of the relay: a setting is wrong. */
#define WRONG_SETTING 78

/* Events of warnings and errors within an hour: a flood must not push other programs out of the event log. */
#define EVENTS_PER_HOUR 100
#define HOUR 3600000

/* Event identifiers: docs/windows.md. The texts are made by the message file of eventcreate.exe. */
enum {
    EVENT_STARTED = 1, EVENT_STOPPED = 2, EVENT_FAILED = 3, EVENT_HOST = 4,
    EVENT_WARNING = 10, EVENT_ERROR = 11, EVENT_SUPPRESSED = 12
};

static wchar_t data_directory[MAX_PATH];
static wchar_t log_path[MAX_PATH];
static ULONGLONG log_limit = LOG_OCTETS;
/* DIRECTORY cannot be used, because paths in it would be too long. */
static int directory_too_long;

static SERVICE_STATUS_HANDLE service;
static SERVICE_STATUS status = { .dwServiceType = SERVICE_WIN32_OWN_PROCESS };
static HANDLE event_source;
/* Set by the handler of controls. */
static HANDLE stop_asked, reload_asked;
/* Set by what the relay says. */
static HANDLE ready;
static volatile LONG silent_ticks;
static volatile LONG stop_ticks;

/* Like swprintf, and always ends the text. Returns whether it has room for all of it. */
static int format(wchar_t *to, size_t size, const wchar_t *pattern, ...) {
    va_list values;
    va_start(values, pattern);
    int length = vswprintf(to, size, pattern, values);
    va_end(values);
    to[size - 1] = 0;
    return length >= 0 && (size_t)length < size;
}

/* ---- the event log ---- */

/* The event log replaces %1, %%1 and %{…} in a text by other texts, also where a client wrote them: a blank
 * after the sign prevents that. */
static void report_event(WORD type, DWORD id, const wchar_t *text) {
    wchar_t safe[EVENT_CHARACTERS + 1];
    const wchar_t *given = safe;
    size_t length = 0;
    for (; *text != 0 && length < EVENT_CHARACTERS - 1; text++) {
        safe[length++] = *text;
        if (*text == L'%' && text[1] != 0 && wcschr(L"0123456789%{", text[1]) != NULL) safe[length++] = L' ';
    }
    safe[length] = 0;
    if (event_source != NULL) ReportEventW(event_source, type, 0, id, NULL, 1, 0, &given, NULL);
}

/* A warning or an error of the relay, unless there were too many. */
static void report_line(WORD type, DWORD id, const wchar_t *text) {
    static ULONGLONG since;
    static int count;
    ULONGLONG now = GetTickCount64();
    if (count == 0 || now - since >= HOUR) {
        since = now;
        count = 0;
    }
    if (++count <= EVENTS_PER_HOUR) {
        report_event(type, id, text);
    } else if (count == EVENTS_PER_HOUR + 1) {
        wchar_t line[MAX_PATH + 200];
        format(line, MAX_PATH + 200, L"More than %d warnings and errors within an hour: for the rest of it, "
            L"they are only in %ls", EVENTS_PER_HOUR, log_path);
        report_event(EVENTLOG_WARNING_TYPE, EVENT_SUPPRESSED, line);
    } else {
        count = EVENTS_PER_HOUR + 2;
    }
}

static void report_problem(const wchar_t *what, DWORD error) {
    wchar_t line[MAX_PATH + 200];
    format(line, MAX_PATH + 200, L"%ls: Windows error %lu", what, error);
    report_event(EVENTLOG_ERROR_TYPE, EVENT_HOST, line);
}

/* ---- the log ---- */

static HANDLE log_file = INVALID_HANDLE_VALUE;
static ULONGLONG log_size;
static int log_failed;

/* Once, until it can be written again. */
static void report_log_problem(DWORD error) {
    if (!log_failed) report_problem(log_path, error);
    log_failed = 1;
}

static void open_log(void) {
    LARGE_INTEGER size;
    log_file = CreateFileW(log_path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    if (log_file == INVALID_HANDLE_VALUE) {
        report_log_problem(GetLastError());
        return;
    }
    log_size = GetFileSizeEx(log_file, &size) ? (ULONGLONG)size.QuadPart : 0;
}

static void rotate_log(void) {
    wchar_t from[MAX_PATH], to[MAX_PATH];
    CloseHandle(log_file);
    log_file = INVALID_HANDLE_VALUE;
    for (int i = LOG_FILES - 1; i > 0; i--) {
        format(to, MAX_PATH, L"%ls.%d", log_path, i);
        if (i == 1) wcscpy(from, log_path);
        else format(from, MAX_PATH, L"%ls.%d", log_path, i - 1);
        MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING);
    }
    open_log();
    /* A program that keeps the file open may forbid to rename it: the size stays bounded all the same. */
    if (log_file != INVALID_HANDLE_VALUE && log_size >= log_limit) {
        CloseHandle(log_file);
        log_file = CreateFileW(log_path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            NULL, TRUNCATE_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
        log_size = 0;
    }
}

static void write_log(const char *line, DWORD length) {
    DWORD written;
    if (log_file == INVALID_HANDLE_VALUE) open_log();
    else if (log_size > 0 && log_size + length > log_limit) rotate_log();
    if (log_file == INVALID_HANDLE_VALUE) return;
    if (!WriteFile(log_file, line, length, &written, NULL)) {
        report_log_problem(GetLastError());
        return;
    }
    log_failed = 0;
    log_size += written;
}

/* ---- the relay's words ---- */

static int begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* The level of a line of the log, and its message: `TIME LEVEL MESSAGE …`, or JSON whose second field is the
 * level. NULL for a line of another form. */
static const char *after_level(const char *line, char *level, size_t size) {
    const char *start, *end, *message;
    if (line[0] == '{') {
        start = strstr(line, "\"level\":\"");
        if (start == NULL) return NULL;
        start += strlen("\"level\":\"");
        end = strchr(start, '"');
        message = strstr(line, "\"message\":\"");
        if (message != NULL) message += strlen("\"message\":\"");
    } else {
        start = strchr(line, ' ');
        if (start == NULL || line[0] < '0' || line[0] > '9') return NULL;
        end = strchr(++start, ' ');
        message = end == NULL ? NULL : end + 1;
    }
    if (end == NULL || message == NULL) return NULL;
    size_t length = (size_t)(end - start);
    if (length >= size) return NULL;
    memcpy(level, start, length);
    level[length] = 0;
    return message;
}

/* Why the relay does not start: for people at a console, without a time. */
static const char *const PLAIN = "smtp-oauth-relay: ";

static void write_time(void) {
    SYSTEMTIME now;
    char text[48];
    GetSystemTime(&now);
    int length = sprintf(text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ CRITICAL ", now.wYear, now.wMonth, now.wDay,
        now.wHour, now.wMinute, now.wSecond, now.wMilliseconds);
    write_log(text, (DWORD)length);
}

static void log_line(char *line, DWORD length) {
    static wchar_t wide[LINE_OCTETS + 1];
    static int inside;
    char level[16];
    WORD type;
    DWORD id;
    /* The rest of a line that was split has no level of its own, whatever it begins with. */
    int rest = inside;
    inside = line[length - 1] != '\n';
    if (rest) {
        write_log(line, length);
        return;
    }
    int plain = begins(line, PLAIN);
    if (plain) write_time();
    write_log(line, length);
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) line[--length] = 0;
    const char *message = after_level(line, level, sizeof level);
    if (message == NULL) {
        if (!plain) return;
        type = EVENTLOG_ERROR_TYPE;
        id = EVENT_ERROR;
    } else if (begins(message, "Relay started")) {
        type = EVENTLOG_INFORMATION_TYPE;
        id = EVENT_STARTED;
    } else if (begins(message, "Relay stopped") || begins(message, "Relay is stopping")) {
        type = EVENTLOG_INFORMATION_TYPE;
        id = EVENT_STOPPED;
    } else if (strcmp(level, "WARNING") == 0) {
        type = EVENTLOG_WARNING_TYPE;
        id = EVENT_WARNING;
    } else if (strcmp(level, "ERROR") == 0 || strcmp(level, "CRITICAL") == 0) {
        type = EVENTLOG_ERROR_TYPE;
        id = EVENT_ERROR;
    } else {
        return;
    }
    int count = MultiByteToWideChar(CP_UTF8, 0, line, (int)length, wide, LINE_OCTETS);
    wide[count] = 0;
    if (type == EVENTLOG_INFORMATION_TYPE) report_event(type, id, wide);
    else report_line(type, id, wide);
}

/* sd_notify(3) */
static void notified(char *line, DWORD length) {
    (void)length;
    InterlockedExchange(&silent_ticks, 0);
    if (begins(line, "READY=1")) SetEvent(ready);
    if (begins(line, "EXTEND_TIMEOUT_USEC=")) {
        long long ticks = strtoll(line + strlen("EXTEND_TIMEOUT_USEC="), NULL, 10) / 1000 / TICK;
        InterlockedExchange(&stop_ticks, (LONG)(ticks < 0 ? 0 : ticks > MAX_STOP_TICKS ? MAX_STOP_TICKS : ticks));
    }
}

typedef struct {
    HANDLE pipe;
    void (*take)(char *line, DWORD length);
    char buffer[LINE_OCTETS];
    char line[LINE_OCTETS + 1];
} reader;

/* Reads a pipe to its end, a line at a time. */
static DWORD WINAPI read_lines(void *given) {
    reader *from = given;
    char *line = from->line;
    DWORD got, length = 0;
    /* No octets are not its end: the relay may write that few. */
    while (ReadFile(from->pipe, from->buffer, LINE_OCTETS, &got, NULL)) {
        for (DWORD i = 0; i < got; i++) {
            line[length++] = from->buffer[i];
            if (from->buffer[i] != '\n' && length < LINE_OCTETS) continue;
            line[length] = 0;
            from->take(line, length);
            length = 0;
        }
    }
    line[length] = 0;
    if (length > 0) from->take(line, length);
    return 0;
}

/* ---- the relay's process ---- */

typedef struct {
    HANDLE process;
    HANDLE input;
    HANDLE readers[2];
} relay;

/* A pipe of which the relay inherits one end. */
static int make_pipe(HANDLE *ours, HANDLE *theirs, int we_read) {
    SECURITY_ATTRIBUTES inherited = { sizeof inherited, NULL, TRUE };
    HANDLE read, write;
    if (!CreatePipe(&read, &write, &inherited, 0)) return 0;
    *ours = we_read ? read : write;
    *theirs = we_read ? write : read;
    return SetHandleInformation(*ours, HANDLE_FLAG_INHERIT, 0);
}

/* The command line, with the quotes of CommandLineToArgvW: the paths have no quotes and no backslash at
 * their end. */
static int command_line(wchar_t *line, size_t size, wchar_t *executable) {
    wchar_t own[MAX_PATH];
    SetLastError(NO_ERROR);
    DWORD length = GetModuleFileNameW(NULL, own, MAX_PATH);
    if (length == 0 || length >= MAX_PATH) return 0;
    wchar_t *slash = wcsrchr(own, L'\\');
    if (slash == NULL) return 0;
    *slash = 0;
    if (format(executable, MAX_PATH, L"%ls\\smtp-oauth-relay.exe", own) &&
        format(line, size, L"\"%ls\" --env-file \"%ls\\relay.env\" serve", executable, data_directory)) return 1;
    SetLastError(ERROR_FILENAME_EXCED_RANGE);
    return 0;
}

static int start_relay(relay *made) {
    static reader output, errors;
    wchar_t executable[MAX_PATH], line[3 * MAX_PATH];
    HANDLE theirs[3];
    /* A relay that does not read must not keep the service manager waiting. */
    DWORD mode = PIPE_READMODE_BYTE | PIPE_NOWAIT;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = { 0 };
    STARTUPINFOEXW startup = { 0 };
    PROCESS_INFORMATION process;
    SIZE_T size = 0;

    if (!command_line(line, 3 * MAX_PATH, executable)) return 0;
    if (!make_pipe(&made->input, &theirs[0], 0) || !make_pipe(&output.pipe, &theirs[1], 1) ||
        !make_pipe(&errors.pipe, &theirs[2], 1)) return 0;
    SetNamedPipeHandleState(made->input, &mode, NULL, NULL);

    /* It inherits these three handles and no others. */
    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    startup.lpAttributeList = malloc(size);
    if (startup.lpAttributeList == NULL ||
        !InitializeProcThreadAttributeList(startup.lpAttributeList, 1, 0, &size) ||
        !UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, theirs,
            sizeof theirs, NULL, NULL)) return 0;
    startup.StartupInfo.cb = sizeof startup;
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = theirs[0];
    startup.StartupInfo.hStdOutput = theirs[1];
    startup.StartupInfo.hStdError = theirs[2];
    SetEnvironmentVariableW(L"NOTIFY_SOCKET", L"-");
    SetEnvironmentVariableW(L"WATCHDOG_USEC", WATCHDOG_USEC);

    /* It ends with this process, whatever ends that: its ports are free for the next start. */
    HANDLE job = CreateJobObjectW(NULL, NULL);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (job == NULL ||
        !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits)) return 0;
    if (!CreateProcessW(executable, line, NULL, NULL, TRUE,
            CREATE_SUSPENDED | CREATE_NO_WINDOW | EXTENDED_STARTUPINFO_PRESENT, NULL, data_directory,
            &startup.StartupInfo, &process)) return 0;
    for (int i = 0; i < 3; i++) CloseHandle(theirs[i]);
    output.take = notified;
    errors.take = log_line;
    if (!AssignProcessToJobObject(job, process.hProcess) ||
        (made->readers[0] = CreateThread(NULL, 0, read_lines, &output, 0, NULL)) == NULL ||
        (made->readers[1] = CreateThread(NULL, 0, read_lines, &errors, 0, NULL)) == NULL) {
        DWORD error = GetLastError();
        TerminateProcess(process.hProcess, 1);
        SetLastError(error);
        return 0;
    }
    made->process = process.hProcess;
    ResumeThread(process.hThread);
    CloseHandle(process.hThread);
    return 1;
}

/* ---- whose the files are ---- */

/* The administrators, the system, services (of whose identifiers TrustedInstaller has one), and the account of
 * this process. */
static int is_trusted(PSID owner) {
    static SID_IDENTIFIER_AUTHORITY nt = SECURITY_NT_AUTHORITY;
    union { TOKEN_USER user; BYTE octets[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE]; } own;
    static const WELL_KNOWN_SID_TYPE known[] = {
        WinBuiltinAdministratorsSid, WinLocalSystemSid, WinAccountAdministratorSid, WinAccountDomainAdminsSid
    };
    HANDLE token;
    DWORD size;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) if (IsWellKnownSid(owner, known[i])) return 1;
    if (memcmp(GetSidIdentifierAuthority(owner), &nt, sizeof nt) == 0 && *GetSidSubAuthorityCount(owner) > 1 &&
        *GetSidSubAuthority(owner, 0) == SECURITY_SERVICE_ID_BASE_RID) return 1;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return 0;
    int equal = GetTokenInformation(token, TokenUser, &own, sizeof own, &size) && EqualSid(owner, own.user.User.Sid);
    CloseHandle(token);
    return equal;
}

/* Looks at a file or folder, and not at what a link leads to. One that is missing, or cannot be looked at, is
 * left to the relay, which cannot read it either.
 * Returns whether it belongs to an account that is not trusted, and says so in a text. */
static int is_foreign(const wchar_t *path, wchar_t *text, size_t size) {
    PSECURITY_DESCRIPTOR descriptor;
    PSID owner;
    wchar_t *name = NULL;
    HANDLE file = CreateFileW(path, READ_CONTROL, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
        OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (file == INVALID_HANDLE_VALUE) return 0;
    DWORD error = GetSecurityInfo(file, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL, NULL, NULL,
        &descriptor);
    CloseHandle(file);
    /* A file system without owners. */
    if (error != ERROR_SUCCESS || owner == NULL) return 0;
    int foreign = !is_trusted(owner);
    if (foreign) {
        ConvertSidToStringSidW(owner, &name);
        format(text, size, L"%ls belongs to %ls, and not to the administrators: another user may have put it there. "
            L"Delete it, or make it theirs (docs/windows.md)", path, name == NULL ? L"another account" : name);
        LocalFree(name);
    }
    LocalFree(descriptor);
    return foreign;
}

/* The data, its folders, and what is in each of them. */
static int has_foreign(const wchar_t *data, wchar_t *text, size_t size) {
    static const wchar_t *const folders[] = { L"", L"\\certs", L"\\logs", L"\\queue" };
    wchar_t path[2 * MAX_PATH];
    WIN32_FIND_DATAW entry;
    int found = is_foreign(data, text, size);
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !found; i++) {
        format(path, 2 * MAX_PATH, L"%ls%ls\\*", data, folders[i]);
        HANDLE search = FindFirstFileW(path, &entry);
        if (search == INVALID_HANDLE_VALUE) continue;
        do {
            /* Above the data. */
            if (wcscmp(entry.cFileName, L"..") == 0) continue;
            format(path, 2 * MAX_PATH, L"%ls%ls\\%ls", data, folders[i], entry.cFileName);
            found = is_foreign(path, text, size);
        } while (!found && FindNextFileW(search, &entry));
        FindClose(search);
    }
    return found;
}

/* --check */
static int check(const wchar_t *data) {
    wchar_t text[3 * MAX_PATH];
    char octets[9 * MAX_PATH];
    DWORD written;
    if (!has_foreign(data, text, 3 * MAX_PATH)) return 0;
    int length = WideCharToMultiByte(CP_UTF8, 0, text, -1, octets, sizeof octets - 1, NULL, NULL);
    if (length > 0) {
        octets[length - 1] = '\n';
        WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), octets, (DWORD)length, &written, NULL);
    }
    return 1;
}

/* ---- the service ---- */

static void report(DWORD state, DWORD error, DWORD own_code) {
    int pending = state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING;
    status.dwCheckPoint = pending ? (status.dwCurrentState == state ? status.dwCheckPoint + 1 : 1) : 0;
    status.dwWaitHint = pending ? HINT : 0;
    status.dwCurrentState = state;
    /* A stop is possible during a start too. */
    status.dwControlsAccepted = state == SERVICE_STOPPED || state == SERVICE_STOP_PENDING
        ? 0
        : SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE;
    status.dwWin32ExitCode = error;
    status.dwServiceSpecificExitCode = own_code;
    SetServiceStatus(service, &status);
}

static DWORD WINAPI on_control(DWORD control, DWORD type, void *data, void *context) {
    (void)type, (void)data, (void)context;
    switch (control) {
    case SERVICE_CONTROL_STOP:
    case SERVICE_CONTROL_PRESHUTDOWN:
        SetEvent(stop_asked);
        return NO_ERROR;
    case SERVICE_CONTROL_PARAMCHANGE:
        SetEvent(reload_asked);
        return NO_ERROR;
    case SERVICE_CONTROL_INTERROGATE:
        return NO_ERROR;
    default:
        return ERROR_CALL_NOT_IMPLEMENTED;
    }
}

static void report_end(DWORD code, int asked, int started) {
    const wchar_t *meaning = code == WRONG_SETTING ? L" (a setting is wrong)"
        : code == 69 ? L" (a service or a port that it needs is not available)" : L"";
    wchar_t line[2 * MAX_PATH];
    format(line, 2 * MAX_PATH, L"The relay %ls with exit status %lu%ls. The log: %ls",
        asked ? L"was stopped" : started ? L"ended by itself" : L"did not start, and ended",
        code, meaning, log_path);
    report_event(EVENTLOG_ERROR_TYPE, EVENT_FAILED, line);
}

/* Waits for the relay's end, and keeps the service manager informed until then.
 * @return whether the end was asked for */
static int attend(relay *running) {
    HANDLE waits[] = { running->process, stop_asked, reload_asked, ready };
    int stopping = 0, ticks = 0;
    for (;;) {
        ULONGLONG before = GetTickCount64();
        /* What has happened once is not waited for again. */
        DWORD count = stopping ? 1 : status.dwCurrentState == SERVICE_RUNNING ? 3 : 4;
        DWORD what = WaitForMultipleObjects(count, waits, FALSE, TICK);
        if (what == WAIT_OBJECT_0) return stopping;
        if (what == WAIT_FAILED) Sleep(TICK);
        if (what == WAIT_OBJECT_0 + 1) {
            stopping = 1;
            InterlockedExchange(&stop_ticks, STOP_TICKS);
            report(SERVICE_STOP_PENDING, NO_ERROR, 0);
            CloseHandle(running->input);
        } else if (what == WAIT_OBJECT_0 + 2) {
            DWORD written;
            WriteFile(running->input, "reload\n", 7, &written, NULL);
        } else if (what == WAIT_OBJECT_0 + 3) {
            report(SERVICE_RUNNING, NO_ERROR, 0);
        }
        /* Counted, not measured: a machine that sleeps takes no time. */
        if (GetTickCount64() - before < TICK / 2) continue;
        ticks++;
        if (status.dwCurrentState != SERVICE_RUNNING) report(status.dwCurrentState, NO_ERROR, 0);
        int hangs = stopping
            ? InterlockedDecrement(&stop_ticks) < 0
            : status.dwCurrentState == SERVICE_RUNNING
            ? InterlockedIncrement(&silent_ticks) > WATCHDOG_TICKS
            : ticks > START_TICKS;
        if (hangs) {
            report_event(EVENTLOG_ERROR_TYPE, EVENT_HOST, L"The relay hangs, and is ended");
            TerminateProcess(running->process, 1);
            WaitForSingleObject(running->process, INFINITE);
            return stopping;
        }
    }
}

static void WINAPI service_main(DWORD count, wchar_t **arguments) {
    relay running;
    DWORD code = 1;
    wchar_t foreign[3 * MAX_PATH];
    (void)count, (void)arguments;
    event_source = RegisterEventSourceW(NULL, NAME);
    stop_asked = CreateEventW(NULL, FALSE, FALSE, NULL);
    reload_asked = CreateEventW(NULL, FALSE, FALSE, NULL);
    ready = CreateEventW(NULL, FALSE, FALSE, NULL);
    service = RegisterServiceCtrlHandlerExW(NAME, on_control, NULL);
    if (service == NULL) return;
    report(SERVICE_START_PENDING, NO_ERROR, 0);
    if (directory_too_long) {
        report_problem(L"The path of the folder for settings and log is too long", ERROR_FILENAME_EXCED_RANGE);
        report(SERVICE_STOPPED, ERROR_FILENAME_EXCED_RANGE, 0);
        return;
    }
    if (has_foreign(data_directory, foreign, 3 * MAX_PATH)) {
        report_event(EVENTLOG_ERROR_TYPE, EVENT_HOST, foreign);
        report(SERVICE_STOPPED, ERROR_SERVICE_SPECIFIC_ERROR, WRONG_SETTING);
        return;
    }
    open_log();
    if (!start_relay(&running)) {
        DWORD error = GetLastError();
        report_problem(L"smtp-oauth-relay.exe cannot be started", error);
        report(SERVICE_STOPPED, error == NO_ERROR ? ERROR_GEN_FAILURE : error, 0);
        return;
    }
    int asked = attend(&running);
    int started = status.dwCurrentState == SERVICE_RUNNING;
    GetExitCodeProcess(running.process, &code);
    WaitForMultipleObjects(2, running.readers, TRUE, LOG_WAIT);
    if (code != 0 || !asked) report_end(code, asked, started);
    /* A code would have the service manager start again what somebody has stopped. */
    if (asked) report(SERVICE_STOPPED, NO_ERROR, 0);
    /* It would not be started again. */
    else if (code == 0) report(SERVICE_STOPPED, ERROR_PROCESS_ABORTED, 0);
    else report(SERVICE_STOPPED, ERROR_SERVICE_SPECIFIC_ERROR, code);
}

int wmain(int count, wchar_t **arguments) {
    SERVICE_TABLE_ENTRYW table[] = { { NAME, service_main }, { NULL, NULL } };
    int fits;
    /* The folder of this program is no place for libraries, and the data are none for those of the relay. */
    SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
    SetDllDirectoryW(L"");
    if (count == 3 && wcscmp(arguments[1], L"--check") == 0) return check(arguments[2]);
    if (count > 1) {
        fits = format(data_directory, MAX_PATH, L"%ls", arguments[1]);
    } else {
        wchar_t base[MAX_PATH];
        DWORD length = GetEnvironmentVariableW(L"ProgramData", base, MAX_PATH);
        if (length == 0 || length >= MAX_PATH) wcscpy(base, L"C:\\ProgramData");
        fits = format(data_directory, MAX_PATH, L"%ls\\" NAME, base);
    }
    if (count > 2) log_limit = wcstoul(arguments[2], NULL, 10);
    if (log_limit == 0) log_limit = LOG_OCTETS;
    /* With room for the .4 of the oldest one. */
    directory_too_long = !fits || !format(log_path, MAX_PATH - 2, L"%ls\\logs\\relay.log", data_directory);
    if (StartServiceCtrlDispatcherW(table)) return 0;
    if (GetLastError() == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
        fwprintf(stderr, L"smtp-oauth-relay-service is started by the service manager: sc.exe start " NAME
            L"\n(smtp-oauth-relay.exe is the program itself)\n");
        return 2;
    }
    return 1;
}
