package local

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/addon"
)

// DatabaseObjects gives the objects of the PostgreSQL that fit this lab.
func (c *Cluster) DatabaseObjects(d addon.Database) ([]*unstructured.Unstructured, error) {
	p, err := c.addonParams()
	if err != nil {
		return nil, err
	}
	return addon.DatabaseObjects(p, d)
}
