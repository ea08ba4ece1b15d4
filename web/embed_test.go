package web_test

import (
	"io/fs"
	"testing"

	"github.com/fluoro-io/fluoro/web"
)

func TestAssets_alwaysHoldAPage(t *testing.T) {
	page, err := fs.ReadFile(web.Assets(), "index.html")
	if err != nil {
		t.Fatalf("no page to serve (built: %v): %v", web.Built(), err)
	}
	if len(page) == 0 {
		t.Error("the page is empty")
	}
}
