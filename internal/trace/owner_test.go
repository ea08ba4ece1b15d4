package trace_test

import (
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestOwner_ARN(t *testing.T) {
	o := trace.Owner{Account: "111111111111", Region: "eu-west-1"}
	if got := o.ARN("group/Default"); got != "arn:aws:xray:eu-west-1:111111111111:group/Default" {
		t.Error(got)
	}
}
