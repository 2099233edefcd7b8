//go:build tools

// Package tools pins the version of the suite that run-distribution builds.
package tools

import _ "github.com/opencontainers/distribution-spec/conformance"
