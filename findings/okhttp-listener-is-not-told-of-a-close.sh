#!/usr/bin/env bash
# OkHttp 5.5.1: a WebSocketListener without onClosing never hears that the server has ended the connection.
#
# One would expect onClosed or onFailure, at the latest when the TCP connection is gone. After the server's close frame
# OkHttp reads no more, and waits for the application to call close(): until then send() goes on returning true for
# what is not sent any more, and nobody is told anything. So the application stays deaf after an orderly restart of
# the server, and comes back after a crash. An onClosing that calls webSocket.close(code, reason) mends it.
#
# Seen, with a server that sends a close frame with 1001, waits a second, closes the connection and ends; 10 seconds
# later:
#   without onClosing:            told nothing, send() true
#   onClosing that calls close(): told onClosed 1001, send() false
# Needs Java 17 or later and Maven. Takes a minute.
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
import java.security.MessageDigest;
import java.util.Base64;
import java.util.concurrent.CountDownLatch;
import okhttp3.*;

public class Finding {
    /** Takes one WebSocket, sends a close frame and closes the connection a second later. */
    static void serve(ServerSocket listener, CountDownLatch ended) {
        try (listener; var socket = listener.accept()) {
            var in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
            String key = null;
            for (String line; !(line = in.readLine()).isEmpty(); ) {
                if (line.toLowerCase().startsWith("sec-websocket-key:")) key = line.substring(18).trim();
            }
            var sha1 = MessageDigest.getInstance("SHA-1").digest((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").getBytes());
            var out = socket.getOutputStream();
            out.write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                + Base64.getEncoder().encodeToString(sha1) + "\r\n\r\n").getBytes());
            out.write(new byte[] {(byte) 0x88, 2, 1001 >> 8, (byte) 1001});
            Thread.sleep(1000);
        } catch (Exception failure) {
            failure.printStackTrace();
        }
        ended.countDown();
    }

    static class Listener extends WebSocketListener {
        volatile String told = "nothing";

        @Override public void onClosed(WebSocket socket, int code, String reason) { told = "onClosed " + code; }

        @Override public void onFailure(WebSocket socket, Throwable failure, Response response) { told = "onFailure"; }
    }

    static String seen(Listener listener) throws Exception {
        var server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        var ended = new CountDownLatch(1);
        new Thread(() -> serve(server, ended)).start();
        var request = new Request.Builder().url("ws://127.0.0.1:" + server.getLocalPort() + "/").build();
        var socket = new OkHttpClient().newWebSocket(request, listener);
        ended.await();
        Thread.sleep(10_000);
        return "told " + listener.told + ", send() " + socket.send("text");
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("without onClosing:            " + seen(new Listener()));
        System.out.println("onClosing that calls close(): " + seen(new Listener() {
            @Override public void onClosing(WebSocket socket, int code, String reason) { socket.close(code, reason); }
        }));
        System.exit(0);
    }
}
JAVA

java -cp "libraries/*" Finding.java 2>errors | tee seen || { cat errors >&2; exit 1; }
diff - seen <<'SEEN'
without onClosing:            told nothing, send() true
onClosing that calls close(): told onClosed 1001, send() false
SEEN
