package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Client speaks to a lab's daemon over its unix socket: the same API that the
// page uses.
type Client struct {
	http *http.Client
	name string
}

func socketPath(d Dirs, name string) string { return filepath.Join(d.run(name), "daemon.sock") }

// Connect finds the daemon of a lab. It returns ErrNoLab or ErrNoDaemon,
// wrapped in a sentence that says what to do.
func Connect(d Dirs, name string) (*Client, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if !exists(d.state(name)) && !exists(d.run(name)) {
		return nil, noLab(name)
	}
	sock := socketPath(d, name)
	conn, err := net.Dial("unix", sock)
	if err != nil {
		return nil, say(ErrNoDaemon, "lab %q exists but nothing supervises it; adopt it: zdl up --name %s; or remove it: zdl down --name %s", name, name, name)
	}
	conn.Close()
	return &Client{name: name, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", sock)
		},
	}}}, nil
}

// Do sends one JSON request and decodes the JSON answer into out unless that is
// nil. path begins with /api/v1.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if raw, ok := out.(*[]byte); ok {
		*raw, err = io.ReadAll(resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Stream reads server-sent events and calls each for every one of them until
// the stream ends, ctx is cancelled, or each returns an error.
func (c *Client) Stream(ctx context.Context, path string, each func(event string, data []byte) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	scanner := bufio.NewScanner(resp.Body)
	scanner.Buffer(make([]byte, 64<<10), 8<<20)
	event, data := "message", []byte(nil)
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case line == "":
			if data != nil {
				if err := each(event, data); err != nil {
					return err
				}
			}
			event, data = "message", nil
		case strings.HasPrefix(line, "event:"):
			event = strings.TrimSpace(line[len("event:"):])
		case strings.HasPrefix(line, "data:"):
			data = append(data, strings.TrimPrefix(line[len("data:"):], " ")...)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return scanner.Err()
}

func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the daemon of lab %q does not answer: %w", c.name, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var problem struct {
		Error string `json:"error"`
		Hint  string `json:"hint"`
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(data, &problem) != nil || problem.Error == "" {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(data))
	}
	if problem.Hint != "" {
		return nil, fmt.Errorf("%s (%s)", problem.Error, problem.Hint)
	}
	return nil, errors.New(problem.Error)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
