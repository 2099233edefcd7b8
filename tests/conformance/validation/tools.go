//go:build tools

// Package tools names the suite's programs, so that go.mod and go.sum pin all they import.
package tools

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/validation/util"
)
