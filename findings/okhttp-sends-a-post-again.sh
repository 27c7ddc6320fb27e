#!/usr/bin/env bash
# OkHttp 5.5.1: a POST is sent a second time by itself when its connection ends before the answer, if that connection
# has served a request before.
#
# One would expect an exception: a POST is not idempotent (RFC 9110, section 9.2.2), and the server may have done what
# it was asked to. Instead it gets the same bytes twice, and the application is told the second answer alone.
# retryOnConnectionFailure(false) turns it off, and with it what it does for GET.
#
# Seen, with a server that reads the second request whole and closes:
#   retryOnConnectionFailure(true), the default: POST 2 times, the application is told 201
#   retryOnConnectionFailure(false):             POST 1 times, the application is told an IOException
# Needs Java 17 or later and Maven. Takes 40 seconds.
set -euo pipefail
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT
cd "$directory"

cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>finding</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>com.squareup.okhttp3</groupId><artifactId>okhttp-jvm</artifactId><version>5.5.1</version></dependency>
  </dependencies>
</project>
XML
mvn --batch-mode --quiet -Dstyle.color=never -Dmaven.repo.local="$directory/repository" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$directory/libraries"

cat >Finding.java <<'JAVA'
import java.io.*;
import java.net.*;
import java.util.concurrent.atomic.AtomicInteger;
import okhttp3.*;

public class Finding {
    static final byte[] BODY = "one message".getBytes();

    /** Answers a GET, and every POST but the first, which it reads whole and hangs up on. */
    static void serve(Socket socket, AtomicInteger posts) {
        try (socket) {
            var in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
            for (String line; (line = in.readLine()) != null; ) {
                boolean isPost = line.startsWith("POST ");
                while (!in.readLine().isEmpty()) {}
                if (isPost) {
                    in.readFully(new byte[BODY.length]);
                    if (posts.incrementAndGet() == 1) return;
                }
                String answer = isPost ? "201 Created" : "200 OK";
                socket.getOutputStream().write(("HTTP/1.1 " + answer + "\r\nContent-Length: 0\r\n\r\n").getBytes());
            }
        } catch (IOException gone) {
            // The client has ended.
        }
    }

    static String told(OkHttpClient client) throws IOException {
        var posts = new AtomicInteger();
        try (var listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            var accepting = new Thread(() -> {
                try {
                    while (true) {
                        var socket = listener.accept();
                        var serving = new Thread(() -> serve(socket, posts));
                        serving.setDaemon(true);
                        serving.start();
                    }
                } catch (IOException closed) {
                    // All was asked.
                }
            });
            accepting.start();
            String url = "http://127.0.0.1:" + listener.getLocalPort() + "/";
            client.newCall(new Request.Builder().url(url).build()).execute().close();
            var post = new Request.Builder().url(url).post(RequestBody.create(BODY, MediaType.get("text/plain"))).build();
            String told;
            try (var response = client.newCall(post).execute()) {
                told = String.valueOf(response.code());
            } catch (IOException failure) {
                told = "an IOException";
            }
            return "POST " + posts.get() + " times, the application is told " + told;
        }
    }

    public static void main(String[] arguments) throws IOException {
        var client = new OkHttpClient();
        System.out.println("retryOnConnectionFailure(true), the default: " + told(client));
        var careful = new OkHttpClient.Builder().retryOnConnectionFailure(false).build();
        System.out.println("retryOnConnectionFailure(false):             " + told(careful));
        System.exit(0);
    }
}
JAVA

java -cp "libraries/*" Finding.java 2>errors | tee seen || { cat errors >&2; exit 1; }
diff - seen <<'SEEN'
retryOnConnectionFailure(true), the default: POST 2 times, the application is told 201
retryOnConnectionFailure(false):             POST 1 times, the application is told an IOException
SEEN
