/* Tells of every connection, sending and name look-up that goes through libc: a line each, appended to WATCHED_LOG.
   Built and loaded by ../network.py (LD_PRELOAD). libc's own resolver calls itself unseen, so names are seen here. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void line(const char *family, int port, const char *address) {
    const char *path = getenv("WATCHED_LOG");
    int handle = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    char text[600];
    if (handle < 0) return;
    int length = snprintf(text, sizeof text, "%s %d %s\n", family, port, address);
    if (length >= (int)sizeof text) text[(length = sizeof text) - 1] = '\n';
    if (write(handle, text, length) < 0) abort();
    close(handle);
}

static void tell(const struct sockaddr *to, socklen_t length) {
    char address[INET6_ADDRSTRLEN] = "", other[16];
    if (to == NULL || length < sizeof(sa_family_t)) return;
    if (to->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)to;
        line("INET", ntohs(in->sin_port), inet_ntop(AF_INET, &in->sin_addr, address, sizeof address));
    } else if (to->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)to;
        line("INET6", ntohs(in->sin6_port), inet_ntop(AF_INET6, &in->sin6_addr, address, sizeof address));
    } else if (to->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)to;
        line("UNIX", 0, un->sun_path[0] ? un->sun_path : "");
    } else if (to->sa_family == AF_NETLINK) {
        line("NETLINK", 0, "");
    } else {
        snprintf(other, sizeof other, "%d", to->sa_family);
        line(other, 0, "");
    }
}

int connect(int socket, const struct sockaddr *to, socklen_t length) {
    tell(to, length);
    return NEXT(connect)(socket, to, length);
}

ssize_t sendto(int socket, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t length) {
    tell(to, length);
    return NEXT(sendto)(socket, data, n, flags, to, length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    tell(message->msg_name, message->msg_namelen);
    return NEXT(sendmsg)(socket, message, flags);
}

int sendmmsg(int socket, struct mmsghdr *messages, unsigned int n, int flags) {
    for (unsigned int i = 0; i < n; i++) tell(messages[i].msg_hdr.msg_name, messages[i].msg_hdr.msg_namelen);
    return NEXT(sendmmsg)(socket, messages, n, flags);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (name != NULL) line("NAME", 0, name);
    return NEXT(getaddrinfo)(name, service, hints, found);
}

struct hostent *gethostbyname(const char *name) {
    line("NAME", 0, name);
    return NEXT(gethostbyname)(name);
}

struct hostent *gethostbyname2(const char *name, int family) {
    line("NAME", 0, name);
    return NEXT(gethostbyname2)(name, family);
}

int gethostbyname_r(const char *name, struct hostent *into, char *buffer, size_t size, struct hostent **found, int *error) {
    line("NAME", 0, name);
    return NEXT(gethostbyname_r)(name, into, buffer, size, found, error);
}
