//go:build tools

// Package vegeta pins the version of vegeta that zdl load is measured beside.
package vegeta

import _ "github.com/tsenart/vegeta/v12"
