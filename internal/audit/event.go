// Package audit records who did what. Each audited request, and each event of the server
// itself, is one record in the form of AWS CloudTrail ("CloudTrail record contents" in its
// user guide). Records stand in append-only files of JSON lines. Each line names the hash
// of the line before it, and signed digests name the hash of each file, so that [Verify]
// finds every change (docs/format/audit.md).
package audit

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/google/uuid"
)

// Limits of the members of a record, in bytes (CloudTrail record contents). Larger
// members are cut, or replaced by [omitted].
const (
	maxAgent      = 1 << 10 // userAgent, errorMessage
	maxParameters = 100 << 10
	maxAdditional = 28 << 10
	// maxText bounds the other texts, which come from requests or records.
	maxText = 2 << 10
)

// version is the version of the record format: minor versions only add members.
const version = "1.11"

// Event is one record. Members without omitempty are null or "" if they are unknown, as
// natively.
type Event struct {
	Version      string       `json:"eventVersion"`
	UserIdentity UserIdentity `json:"userIdentity"`
	Time         string       `json:"eventTime"` // of the end of the request: UTC, whole seconds
	Source       string       `json:"eventSource"`
	Name         string       `json:"eventName"`
	Region       string       `json:"awsRegion"`
	Address      string       `json:"sourceIPAddress"`
	Agent        string       `json:"userAgent,omitempty"`
	ErrorCode    string       `json:"errorCode,omitempty"`
	ErrorMessage string       `json:"errorMessage,omitempty"`
	Parameters   any          `json:"requestParameters"`
	Response     any          `json:"responseElements"`
	// Additional holds our own members: traceIds, traceCount, counts, status.
	Additional      map[string]any `json:"additionalEventData,omitempty"`
	RequestID       string         `json:"requestID,omitempty"`
	ID              string         `json:"eventID"`
	ReadOnly        bool           `json:"readOnly"`
	Resources       []Resource     `json:"resources,omitempty"`
	Type            string         `json:"eventType"`
	APIVersion      string         `json:"apiVersion,omitempty"`
	Management      bool           `json:"managementEvent"`
	Recipient       string         `json:"recipientAccountId"`
	Details         map[string]any `json:"serviceEventDetails,omitempty"`
	Category        string         `json:"eventCategory"` // Management or Data
	SessionConsole  string         `json:"sessionCredentialFromConsole,omitempty"`
	TLS             *TLS           `json:"tlsDetails,omitempty"`
	SharedEventID   string         `json:"sharedEventID,omitempty"`
	VPCEndpointID   string         `json:"vpcEndpointId,omitempty"`
	VPCEndpointOwns string         `json:"vpcEndpointAccountId,omitempty"`
}

// UserIdentity describes who made a request (CloudTrail userIdentity element).
type UserIdentity struct {
	Type         string          `json:"type"`
	PrincipalID  string          `json:"principalId,omitempty"`
	ARN          string          `json:"arn,omitempty"`
	AccountID    string          `json:"accountId,omitempty"`
	AccessKeyID  string          `json:"accessKeyId,omitempty"`
	UserName     string          `json:"userName,omitempty"`
	Session      *SessionContext `json:"sessionContext,omitempty"`
	InvokedBy    string          `json:"invokedBy,omitempty"`
	Provider     string          `json:"identityProvider,omitempty"`
	CredentialID string          `json:"credentialId,omitempty"`
}

// SessionContext describes temporary credentials.
type SessionContext struct {
	Issuer         *Issuer            `json:"sessionIssuer,omitempty"`
	Attributes     *SessionAttributes `json:"attributes,omitempty"`
	Federation     *Federation        `json:"webIdFederationData,omitempty"`
	SourceIdentity string             `json:"sourceIdentity,omitempty"`
}

// Issuer is the role of a session.
type Issuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// SessionAttributes hold texts, also for the truth value (CloudTrail).
type SessionAttributes struct {
	Created string `json:"creationDate"`
	MFA     string `json:"mfaAuthenticated"`
}

// Federation names the identity provider of a web identity.
type Federation struct {
	Provider   string            `json:"federatedProvider"`
	Attributes map[string]string `json:"attributes"`
}

// Resource is something that a request used.
type Resource struct {
	ARN     string `json:"ARN,omitempty"`
	Account string `json:"accountId,omitempty"`
	Type    string `json:"type,omitempty"`
}

// TLS describes the connection of a request.
type TLS struct {
	Version string `json:"tlsVersion"`
	Cipher  string `json:"cipherSuite"`
	Host    string `json:"clientProvidedHostHeader"`
}

// The values of Event.Type.
const (
	TypeCall    = "AwsApiCall"
	TypeService = "AwsServiceEvent"
	TypeSignIn  = "AwsConsoleSignIn"
)

// identityOfServer is the identity of records about the server itself.
var identityOfServer = UserIdentity{Type: "AWSService", InvokedBy: "fluoro"}

// NewEvent makes the record of an event of the server itself, such as a deletion by
// retention. details become serviceEventDetails.
func NewEvent(owner trace.Owner, name string, details map[string]any) *Event {
	return &Event{
		UserIdentity: identityOfServer, Source: sourceFluoro, Name: name, Region: owner.Region, Address: "fluoro", Type: TypeService,
		Management: true, Category: "Management", Recipient: string(owner.Account), Details: details,
	}
}

// omitted stands for a member that is too large.
func omitted(bytes int) any {
	return map[string]any{"omitted": true, "reason": "the value is too large for a record", "bytes": bytes}
}

// encode completes a record and returns it as one line of ASCII, so that no text of a
// request can begin a new line or control a terminal.
func (e *Event) encode(now time.Time) ([]byte, error) {
	e.Version = version
	if e.ID == "" {
		e.ID = uuid.NewString()
	}
	if e.Time == "" {
		e.Time = now.UTC().Format(time.RFC3339)
	}
	for _, s := range []*string{&e.Agent, &e.ErrorMessage} {
		*s = cut(*s, maxAgent)
	}
	u := &e.UserIdentity
	for _, s := range []*string{&e.Address, &e.ErrorCode, &e.RequestID, &e.Name, &e.Region, &u.ARN, &u.PrincipalID, &u.UserName, &u.AccessKeyID, &u.CredentialID} {
		*s = cut(*s, maxText)
	}
	e.Parameters = bounded(e.Parameters, maxParameters)
	e.Response = bounded(e.Response, maxParameters)
	if v, ok := bounded(e.Additional, maxAdditional).(map[string]any); ok {
		e.Additional = v
	}
	if e.Details != nil {
		e.Details, _ = bounded(e.Details, maxParameters).(map[string]any)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return ascii(b), nil
}

// bounded returns a value, or what stands for it if its JSON is larger than limit.
func bounded(v any, limit int) any {
	switch m := v.(type) {
	case nil:
		return nil
	case map[string]any:
		if m == nil {
			return m
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return map[string]any{"omitted": true, "reason": "the value is not JSON"}
	}
	if len(b) > limit {
		return omitted(len(b))
	}
	return v
}

// cut shortens a text to at most limit bytes, at the boundary of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

const hexDigits = "0123456789abcdef"

// ascii escapes all characters of a JSON text that are not printable ASCII.
func ascii(b []byte) []byte {
	clean := true
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			clean = false
			break
		}
	}
	if clean {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/4)
	escape := func(v uint16) {
		out = append(out, '\\', 'u', hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
	}
	for _, r := range string(b) {
		switch {
		case r >= 0x20 && r <= 0x7e:
			out = append(out, byte(r))
		case r > 0xffff:
			r -= 0x10000
			escape(uint16(0xd800 + r>>10))
			escape(uint16(0xdc00 + r&0x3ff))
		default:
			escape(uint16(r))
		}
	}
	return out
}

const sourceFluoro = "fluoro"

// sourceOf returns the event source and the event name of an action such as
// xray:GetTraceSummaries.
func sourceOf(action string) (source, name string) {
	service, name, found := strings.Cut(action, ":")
	switch {
	case !found:
		return sourceFluoro, action
	case service == sourceFluoro:
		return sourceFluoro, name
	}
	return service + ".amazonaws.com", name
}

// dataActions are the actions whose records are data events: they read, write or delete
// traces. Those of X-Ray are natively data events (X-Ray developer guide, "Logging X-Ray
// API calls with AWS CloudTrail").
var dataActions = map[string]bool{
	"xray:PutTraceSegments": true, "xray:PutTelemetryRecords": true, "xray:BatchGetTraces": true, "xray:GetTraceSummaries": true,
	"xray:GetTraceGraph": true, "xray:GetServiceGraph": true, "xray:GetTimeSeriesServiceStatistics": true, "xray:GetSamplingTargets": true,
	"xray:PutSpans": true, "fluoro:PutSpans": true, "fluoro:GetLiveEvents": true, "fluoro:GetTrace": true, "fluoro:GetSeries": true,
	"fluoro:SearchTraces": true, "fluoro:GetHistogram": true, "fluoro:GetFacets": true, "fluoro:CompareTraces": true, "fluoro:DeleteTraces": true,
	"fluoro:EraseTraces": true,
}

// ingestActions bring data or report counts; agents call them all the time. They are
// recorded only on request, as native data events are.
var ingestActions = map[string]bool{
	"xray:PutTraceSegments": true, "xray:PutTelemetryRecords": true, "xray:GetSamplingTargets": true, "xray:PutSpans": true, "fluoro:PutSpans": true,
}

// Ingest reports whether an action is recorded only with the setting audit-ingest.
func Ingest(action string) bool { return ingestActions[action] }

// reading lists the beginnings of the names of actions that change nothing.
var reading = []string{"Get", "List", "BatchGet", "Lookup", "Search", "Compare", "Simulate", "Describe"}

// readOnly reports whether an action changes nothing. Retrievals have the access level
// Read (Service Authorization Reference of X-Ray); STS calls are read-only natively.
func readOnly(action string) bool {
	service, name, _ := strings.Cut(action, ":")
	if service == "sts" || name == "StartTraceRetrieval" || name == "CancelTraceRetrieval" {
		return true
	}
	for _, p := range reading {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// versionOf returns the version of the API of an action.
func versionOf(action string) string {
	switch service, _, _ := strings.Cut(action, ":"); service {
	case "xray":
		return "2016-04-12"
	case "sts":
		return "2011-06-15"
	case "iam":
		return "2010-05-08"
	}
	return ""
}
