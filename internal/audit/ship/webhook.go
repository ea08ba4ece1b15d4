package ship

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"errors"

	"github.com/fluoro-io/fluoro/internal/audit"
)

// webhook posts records as JSON lines. Receivers check the signature, and recognise a
// repeated delivery by Idempotency-Key or by the eventIDs.
type webhook struct {
	url    string
	secret []byte
	server string
	client *http.Client
}

// The headers of a delivery.
const (
	HeaderTimestamp = "Fluoro-Timestamp" // Unix seconds
	// HeaderSignature is v1= and the hex HMAC-SHA256 of the timestamp, a full stop and
	// the body, under the secret.
	HeaderSignature = "Fluoro-Signature"
	HeaderRecords   = "Fluoro-Records" // numbers of the first and the last record: 1-500
)

func (h *webhook) send(ctx context.Context, batch []audit.Found) error {
	var body []byte
	for _, f := range batch {
		body = append(append(body, f.Event...), '\n')
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL of a webhook is wrong")
	}
	records := fmt.Sprintf("%d-%d", batch[0].Seq, batch[len(batch)-1].Seq)
	at := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/x-ndjson")
	r.Header.Set("User-Agent", "fluoro")
	r.Header.Set("Idempotency-Key", "fluoro-audit-"+h.server+"-"+records)
	r.Header.Set(HeaderRecords, records)
	r.Header.Set(HeaderTimestamp, at)
	if len(h.secret) > 0 {
		m := hmac.New(sha256.New, h.secret)
		m.Write([]byte(at + "."))
		m.Write(body)
		r.Header.Set(HeaderSignature, "v1="+hex.EncodeToString(m.Sum(nil)))
	}
	res, err := h.client.Do(r)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			return failed.Err // without the URL, which may hold a token
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the webhook answered %s", res.Status)
	}
	return nil
}

func (h *webhook) close() error {
	h.client.CloseIdleConnections()
	return nil
}
