package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestAWrongCallSaysWhatToTry(t *testing.T) {
	for _, args := range [][]string{nil, {"webb"}, {"web", "cart"}, {"rebuild", "--chek"}, {"--help"}} {
		if err := run(t.Context(), args); err == nil || !strings.Contains(err.Error(), "rebuild [--check]") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestAWrongAddressOfAStoreIsRefusedWithoutItsPassword(t *testing.T) {
	for service, variable := range map[string]string{"catalogue": "SHOP_MONGO_URI", "user": "SHOP_MONGO_URI", "cart": "SHOP_REDIS_ADDR",
		"shipping": "SHOP_MYSQL_DSN", "ratings": "SHOP_MYSQL_DSN", "payment": "SHOP_POSTGRES_DSN", "dispatch": "SHOP_AMQP_URL", "web": "SHOP_AMQP_URL"} {
		t.Run(service, func(t *testing.T) {
			t.Setenv(variable, "gopher://shop:secret@host:port/")
			if err := run(t.Context(), []string{service}); err == nil || !strings.Contains(err.Error(), "is not of the form") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Setenv("SHOP_DRAIN", "soon")
	if err := run(t.Context(), []string{"web"}); err == nil || !strings.Contains(err.Error(), `SHOP_DRAIN is "soon"`) {
		t.Errorf("got %v", err)
	}
	if d, err := duration("SHOP_NONE", time.Second); d != time.Second || err != nil {
		t.Errorf("%s, %v", d, err)
	}
}

// TestNoServiceIsBuiltWithTestStores keeps what is for tests out of the program.
func TestNoServiceIsBuiltWithTestStores(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skip("no go command here")
	}
	for _, p := range []string{"shoptest", "net/http/httptest", "testing\n"} {
		if strings.Contains(string(out), p) {
			t.Errorf("the program depends on %s", p)
		}
	}
}
