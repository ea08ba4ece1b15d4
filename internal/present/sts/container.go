package sts

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Container answers the credential provider of containers in AWS SDKs: the variables
// AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN lead them here
// (AWS SDKs and Tools reference guide, "Container credential provider").
type Container struct {
	Directory *iam.Directory
	Logger    *slog.Logger
}

// containerAnswer has the names that SDKs read: Token, not SessionToken.
type containerAnswer struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      string
	AccountID       string `json:"AccountId"`
	RoleARN         string `json:"RoleArn,omitempty"`
}

// ServeHTTP exchanges the token in the Authorization header for credentials.
func (c *Container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	identity.Exempt(r.Context()) // the token is the proof and the permission
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	got, account, role, err := c.Directory.Container(r.Context(), token)
	if err != nil {
		c.Refuse(w, r, err)
		return
	}
	c.answer(w, http.StatusOK, containerAnswer{
		got.AccessKeyID, got.SecretAccessKey, got.SessionToken, got.Expiration.UTC().Format(timeForm), string(account), role,
	})
}

// Refuse answers with an error.
func (c *Container) Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	e := containerError(err)
	if e.status == http.StatusInternalServerError && c.Logger != nil {
		c.Logger.Error("credentials of a container cannot be made", "error", err)
	}
	c.answer(w, e.status, map[string]string{"code": e.code, "message": e.message})
}

func containerError(err error) *failure {
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{499, "RequestCancelled", "the client went away"}
	case errors.Is(err, identity.ErrExpired):
		return &failure{http.StatusUnauthorized, "ExpiredToken", "The authorization token has expired"}
	case trace.KindOf(err) == trace.KindDenied:
		return &failure{http.StatusUnauthorized, "InvalidToken", "The authorization token is missing, unknown, disabled, or not made for containers"}
	case trace.KindOf(err) == trace.KindUnavailable:
		return &failure{http.StatusServiceUnavailable, "ServiceUnavailable", err.Error()}
	}
	return &failure{http.StatusInternalServerError, "InternalFailure", "internal failure; the log has the reason"}
}

func (c *Container) answer(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}
