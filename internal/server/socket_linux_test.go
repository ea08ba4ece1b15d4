package server

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// serveOn answers requests on a listener until the test ends.
func serveOn(t *testing.T, l net.Listener) {
	t.Helper()
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "operator") })}
	go func() { _ = h.Serve(l) }()
	t.Cleanup(func() { _ = h.Close() })
}

// get makes a request through the socket of a directory.
func get(t *testing.T, dir string) (string, error) {
	t.Helper()
	c, err := dialSocket(t.Context(), dir)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestSocket_leavesNoFileAndTakesAnyPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-directory/", 12))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, listen := range map[string]func(string) (net.Listener, error){"without a file": listenSocket, "file": listenFile} {
		l, err := listen(dir)
		if err != nil {
			t.Fatal(name, err)
		}
		serveOn(t, l)
		if answer, err := get(t, dir); err != nil || !strings.HasSuffix(answer, "operator") {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		info, err := os.Stat(filepath.Join(dir, socketName))
		if name == "file" && (err != nil || info.Mode().Perm() != 0o600) || name != "file" && err == nil {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		_ = l.Close()
		if _, err := get(t, dir); err == nil {
			t.Errorf("%s: a closed socket answers", name)
		}
	}
}

// Other users of the machine can connect, but get nothing, and cannot pretend to be the
// server.
func TestSocket_otherUsers(t *testing.T) {
	for _, k := range []struct {
		uid, server int
		want        bool
	}{{0, 1000, true}, {1000, 1000, true}, {1001, 1000, false}, {65534, 0, false}, {0, 0, true}} {
		if got := isOperator(k.uid, k.server); got != k.want {
			t.Errorf("user %d at a server of %d: %v", k.uid, k.server, got)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := t.TempDir()
	name, _, err := abstractName(dir)
	if err != nil {
		t.Fatal(err)
	}
	as := func(script string) *exec.Cmd {
		cmd := exec.Command("/usr/bin/python3", "-c", "import socket\ns=socket.socket(socket.AF_UNIX)\nname='\\0"+name[1:]+"'\n"+script)
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return cmd
	}
	l, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l)
	if out, err := as("s.connect(name)\ntry:\n s.send(b'GET / HTTP/1.0\\r\\n\\r\\n')\n print(s.recv(1000))\nexcept OSError as e: print(e)").CombinedOutput(); err != nil || strings.Contains(string(out), "operator") {
		t.Errorf("another user gets %s, %v", out, err)
	}
	_ = l.Close()
	fake := as("s.bind(name)\ns.listen()\nprint('ready',flush=True)\ninput()")
	ready, err := fake.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stop, err := fake.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := fake.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stop.Close(); _ = fake.Wait() }()
	if _, err := ready.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if answer, err := get(t, dir); err == nil {
		t.Errorf("a false server is believed: %q", answer)
	}
	l, err = listenSocket(dir) // the name is taken: a file
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serveOn(t, l)
	if answer, err := get(t, dir); err != nil || !strings.HasSuffix(answer, "operator") {
		t.Errorf("beside a false server: %q, %v", answer, err)
	}
}
