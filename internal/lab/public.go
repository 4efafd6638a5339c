package lab

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"zdl/internal/web"
	"zdl/internal/web/visitor"
)

// Listen says where the page and its API are served.
type Listen struct {
	// Page is an address of this machine's own, "host:port"; "": the first free of
	// 127.0.0.1:8420 to 8499.
	Page string
	// Public is an address that others reach, "IP:port"; "": none. Then directing
	// the game takes the owner's token.
	Public string
	// Hosts are further names under which others reach it.
	Hosts []string
	// Proxies are networks (CIDR) of proxies whose X-Forwarded-For is believed.
	Proxies []string
}

// Check tells whether it can be meant like that.
func (l Listen) Check() error {
	if l.Page != "" {
		if err := web.CheckLoopback(l.Page); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
	}
	if l.Public != "" {
		if err := web.CheckPublic(l.Public); err != nil {
			return fmt.Errorf("--public: %w", err)
		}
	} else if len(l.Hosts)+len(l.Proxies) > 0 {
		return errors.New("--public-host and --trust-proxy say more about --public ADDR, which is missing")
	}
	_, err := l.proxies()
	return err
}

func (l Listen) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range l.Proxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--trust-proxy: %q is no network: give one as 192.0.2.7/32", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// args are the daemon's flags that say the same.
func (l Listen) args() []string {
	args := []string{"--listen", l.Page}
	if l.Public != "" {
		args = append(args, "--public", l.Public)
	}
	for _, h := range l.Hosts {
		args = append(args, "--public-host", h)
	}
	for _, p := range l.Proxies {
		args = append(args, "--trust-proxy", p)
	}
	return args
}

// access says who may do what with this lab.
func (d *daemon) access() (web.Access, error) {
	proxies, err := d.listen.proxies()
	if err != nil {
		return web.Access{}, err
	}
	a := web.Access{Lab: cookies(d.name), Public: d.listen.Public != "", Hosts: d.listen.Hosts, Proxies: proxies, Limits: visitor.DefaultLimits()}
	key, err := secret(filepath.Join(d.dirs.state(d.name), "session-key"), func() string { k := visitor.NewKey(); return string(k[:]) })
	if err != nil {
		return a, fmt.Errorf("keep the key of sessions: %w", err)
	}
	if copy(a.SessionKey[:], key) < len(a.SessionKey) {
		return a, errors.New("the key of sessions is damaged: remove session-key from the lab's state directory")
	}
	token := &ownerToken{path: filepath.Join(d.dirs.state(d.name), "owner-token")}
	if token.value, err = secret(token.path, rand.Text); err != nil {
		return a, fmt.Errorf("keep the owner's token: %w", err)
	}
	a.Token = token
	return a, nil
}

// cookies is how a lab's cookies are told from those of others on this host.
func cookies(lab string) string {
	if lab == DefaultName {
		return ""
	}
	return lab
}

// secret reads what only root may read, or makes it.
func secret(path string, make func() string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil && len(data) > 0 {
		return string(data), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return keep(path, make())
}

func keep(path, value string) (string, error) {
	if err := os.WriteFile(path+".new", []byte(value), 0o600); err != nil {
		return "", err
	}
	return value, os.Rename(path+".new", path)
}

// ownerToken is a web.Token in a file.
type ownerToken struct {
	path  string
	mu    sync.Mutex
	value string
}

// Value implements web.Token.
func (t *ownerToken) Value() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value
}

// Rotate implements web.Token.
func (t *ownerToken) Rotate() (string, error) {
	value, err := keep(t.path, rand.Text())
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = value
	return value, nil
}
