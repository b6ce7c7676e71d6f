"""Program that makes sockets in the network of a site; `wall` runs it there, with the standard library alone.

Its standard input is a Unix socket: for each byte that it reads, it sends one TCP socket. It ends with its input.
"""

import socket

if __name__ == "__main__":
    with socket.socket(fileno=0) as asked:
        while asked.recv(1):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
                socket.send_fds(asked, [b"s"], [made.fileno()])
