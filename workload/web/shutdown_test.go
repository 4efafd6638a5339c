package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// start serves on a loopback port; stop is SIGTERM, done reports Serve's result.
func start(t *testing.T, s *Service, drain, grace time.Duration) (url string, stop context.CancelFunc, done <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, l, s, drain, grace) }()
	return "http://" + l.Addr().String(), cancel, result
}

// oneShot asks once and never retries: Go's client silently repeats a GET when
// a reused connection turns out dead, which would hide exactly what these tests
// look for, but it does not repeat a POST.
func oneShot(client *http.Client, url string) (int, error) {
	res, err := client.Post(url, "text/plain", http.NoBody)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// TestNoRequestIsLostAtShutdown plays a load balancer: eight clients send as
// fast as they can, half on reused connections, half on new ones, and stop only
// when they hear that the replica is not ready any more.
func TestNoRequestIsLostAtShutdown(t *testing.T) {
	s := NewService(alice)
	url, stop, done := start(t, s, time.Second, 5*time.Second)

	leaving := make(chan struct{})
	var sent, afterStop atomic.Int64
	var stopped atomic.Bool
	failures := make(chan error, 8)
	var clients sync.WaitGroup
	for i := range 8 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: 5 * time.Second}
		clients.Go(func() {
			for {
				select {
				case <-leaving:
					return
				default:
				}
				code, err := oneShot(client, url)
				if err != nil || code != http.StatusOK {
					failures <- fmt.Errorf("client %d: status %d: %w", i, code, err)
					return
				}
				sent.Add(1)
				if stopped.Load() {
					afterStop.Add(1)
				}
			}
		})
	}
	waitUntil(t, func() bool { return sent.Load() > 500 })
	stopped.Store(true)
	stop()
	waitUntil(t, func() bool {
		res, err := http.Get(url + "/readyz")
		if err != nil {
			t.Fatalf("the readiness check was not answered while draining: %v", err)
		}
		res.Body.Close()
		return res.StatusCode == http.StatusServiceUnavailable
	})
	waitUntil(t, func() bool { return afterStop.Load() > 100 }) // it does go on serving
	close(leaving)
	clients.Wait()
	select {
	case err := <-failures:
		t.Fatal(err)
	default:
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if got := s.requests.Load(); got != uint64(sent.Load()) {
		t.Errorf("served %d requests, clients got %d answers", got, sent.Load())
	}
}

// TestASlowRequestFinishes holds a request open over the whole drain period.
func TestASlowRequestFinishes(t *testing.T) {
	s := NewService(alice)
	entered, leave := make(chan struct{}), make(chan struct{})
	s.mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		w.WriteHeader(http.StatusTeapot)
	})
	url, stop, done := start(t, s, 0, 5*time.Second)
	answer := make(chan string, 1)
	go func() {
		code, err := oneShot(http.DefaultClient, url+"/slow")
		answer <- fmt.Sprint(code, err)
	}()
	<-entered
	stop()
	waitUntil(t, func() bool { // the listener is closed, so shutdown is waiting for us
		c, err := net.Dial("tcp", url[len("http://"):])
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-done:
		t.Fatalf("shut down with a request under way: %v", err)
	default:
	}
	close(leave)
	if got := <-answer; got != "418 <nil>" {
		t.Errorf("the slow request got %s", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestARequestThatNeverEndsDoesNotHoldUpShutdown(t *testing.T) {
	s := NewService(alice)
	entered := make(chan struct{})
	s.mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	url, stop, done := start(t, s, 0, 50*time.Millisecond)
	go func() { _, _ = oneShot(http.DefaultClient, url+"/never") }()
	<-entered
	stop()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a request was cut off, and shutdown did not say so")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("shutdown hangs")
	}
}

func waitUntil(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("condition not met within 10 s")
		}
	}
}
