package addon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"zdl/internal/labfile"
	"zdl/test/apiserver"
)

func TestWhatIsWorthAnotherTry(t *testing.T) {
	services := schema.GroupResource{Resource: "services"}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		{apierrors.NewInternalError(errors.New("etcdserver: leader changed")), true},
		{apierrors.NewServiceUnavailable("apiserver is shutting down"), true},
		{apierrors.NewTooManyRequests("slow down", 1), true},
		{apierrors.NewTimeoutError("etcd", 1), true},
		{apierrors.NewServerTimeout(services, "get", 1), true},
		{apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "web"), true},
		{apierrors.NewForbidden(services, "x", errors.New("not yet ready to handle request")), true},
		{apierrors.NewForbidden(services, "x", errors.New(`User "admin" cannot create resource`)), false},
		{apierrors.NewBadRequest("strict decoding error"), false},
		{apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "x", nil), false},
		{apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "failed to allocate IP 198.18.128.10", nil), true},
		{apierrors.NewInternalError(errors.New("failed to create typed patch object (x): .spec.y: field not declared in schema")), false},
		{fmt.Errorf("apply: %w", apierrors.NewBadRequest("wrapped")), false},
	} {
		if got := temporary(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestEqualManifestsHaveEqualHashes(t *testing.T) {
	hashes := func(p Params) (out []string) {
		for _, o := range everything(t, p) {
			h, err := withHash(o)
			if err != nil {
				t.Fatal(err)
			}
			if o.GetAnnotations()[manifestHash] != "" {
				t.Error("the caller's object was changed")
			}
			out = append(out, h.GetAnnotations()[manifestHash])
		}
		return out
	}
	same := hashes(params(t, "ha", labfile.Realistic))
	if !slices.Equal(same, hashes(params(t, "ha", labfile.Realistic))) {
		t.Error("the same manifests have different hashes")
	}
	if slices.Equal(same, hashes(params(t, "ha", labfile.Fast))) {
		t.Error("different manifests have the same hashes")
	}
}

func TestApplyNamesWhatItCouldNotReach(t *testing.T) {
	port := apiserver.FreePorts(t, 1)[0] // closed again
	cfg := &rest.Config{Host: fmt.Sprintf("http://127.0.0.1:%d", port)}
	objects, err := Essential(params(t, "small", labfile.Realistic))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err = Apply(ctx, cfg, objects)
	if err == nil || !strings.Contains(err.Error(), "Namespace web") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}
