package database

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"zdl/internal/addon"
)

// kept is what must be known of an installed database after a restart of the
// daemon, and cannot be asked of anybody while the API server is down.
type kept struct {
	Passwords   addon.Passwords `json:"passwords"`
	Synchronous bool            `json:"synchronous"`
	Members     int             `json:"members"`
}

func newKept() *kept {
	return &kept{Passwords: addon.Passwords{
		Superuser: rand.Text(), Replication: rand.Text(), Rewind: rand.Text(), RESTAPI: rand.Text(), App: rand.Text(),
	}}
}

// readKept returns nil where nothing is installed.
func readKept(path string) (*kept, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &k, nil
}

// keep writes it down, by rename, readable for its owner only.
func (m *Manager) keep(k *kept) error {
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	fresh := m.c.File + ".new"
	if err := os.WriteFile(fresh, data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(fresh, m.c.File); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = k
	return nil
}

// forget is keep's opposite.
func (m *Manager) forget() error {
	if err := os.Remove(m.c.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept, m.last, m.seen = nil, leader{}, ""
	return nil
}
