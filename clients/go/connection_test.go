package autopilot

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestATokenGoesWhereNobodyElseReadsIt(t *testing.T) {
	for _, address := range []string{"localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:/run/a.sock", "dns:///localhost:1"} {
		if _, err := New(address, WithToken("t")); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"example.com:443", "10.0.0.1:1", "localhost.example.com:1", "[2001:db8::1]:1", "128.0.0.1:1"} {
		if _, err := New(address, WithToken("secret")); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
		if _, err := New(address, WithToken("t"), WithTLS(&tls.Config{})); err != nil {
			t.Errorf("%s over TLS: %v", address, err)
		}
		if _, err := New(address, WithToken("t"), WithInsecure()); err != nil {
			t.Errorf("%s, insecure: %v", address, err)
		}
		if _, err := New(address); err != nil {
			t.Errorf("%s without a token: %v", address, err)
		}
	}
}

func TestWhatIsNoTokenIsRefusedAndNotNamed(t *testing.T) {
	for _, token := range []string{"", "with space", "line\nend", "ключ", "=", "trailing\n"} {
		_, err := New("localhost:1", WithToken(token))
		if !errors.Is(err, errNoToken) || token != "" && strings.Contains(err.Error(), strings.TrimSpace(token)+" ") {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestATokenSourceIsAskedOnlyByCalls(t *testing.T) {
	fails := func(context.Context) (string, error) { return "", errors.New("asked") }
	if _, err := New("localhost:1", WithTokenSource(fails)); err != nil {
		t.Error(err)
	}
}

func TestTheRetryPolicyIsThatOfAllClients(t *testing.T) {
	shared, err := os.ReadFile("../service_config.json")
	if err != nil {
		t.Skip("outside of the repository")
	}
	if string(shared) != serviceConfig {
		t.Error("service_config.json is not clients/service_config.json")
	}
}
