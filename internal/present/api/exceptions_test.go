package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
	"github.com/aws/smithy-go"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// openDoor reads no body and refuses nothing.
type openDoor struct{ *receive.Intake }

func newDoor() openDoor { return openDoor{receive.New(receive.Options{})} }

func (openDoor) Documents(context.Context, trace.Account, string, [][]byte) ([]decode.Refusal, error) {
	return nil, nil
}

// client is AWS's SDK before an API where one operation answers with an error.
func client(t *testing.T, operation string, answer error) *xray.Client {
	t.Helper()
	a := New(Options{Intake: newDoor()})
	if answer != nil {
		a.handlers[operation] = func(context.Context, *request) (any, error) { return nil, answer }
	}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return xray.New(xray.Options{
		BaseEndpoint: aws.String(s.URL), Region: "us-east-1", Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

// The calls, one for each exception of the API model.
var (
	graph = func(c *xray.Client) error {
		_, err := c.GetServiceGraph(context.Background(), &xray.GetServiceGraphInput{StartTime: aws.Time(time.Unix(1, 0)), EndTime: aws.Time(time.Unix(2, 0))})
		return err
	}
	tagResource = func(c *xray.Client) error {
		_, err := c.TagResource(context.Background(), &xray.TagResourceInput{ResourceARN: aws.String("arn"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("")}}})
		return err
	}
	putPolicy = func(c *xray.Client) error {
		_, err := c.PutResourcePolicy(context.Background(), &xray.PutResourcePolicyInput{PolicyName: aws.String("p"), PolicyDocument: aws.String("{}")})
		return err
	}
	createRule = func(c *xray.Client) error {
		_, err := c.CreateSamplingRule(context.Background(), &xray.CreateSamplingRuleInput{SamplingRule: &types.SamplingRule{
			RuleName: aws.String("r"), ResourceARN: aws.String("*"), Priority: aws.Int32(1), FixedRate: 0.5, ReservoirSize: 1, ServiceName: aws.String("*"), ServiceType: aws.String("*"),
			Host: aws.String("*"), HTTPMethod: aws.String("*"), URLPath: aws.String("*"), Version: aws.Int32(1), Attributes: map[string]string{"a": "b"},
		}})
		return err
	}
)

// TestExceptions_areTypedInTheSDK checks that AWS's SDK for Go returns the kinds of
// error, and the exceptions of the model, as its own types, with text and request id.
func TestExceptions_areTypedInTheSDK(t *testing.T) {
	modelled := func(name string, status int) error { return &exception{status, name, "says why", true} }
	for _, c := range []struct {
		operation string
		call      func(*xray.Client) error
		answer    error
		want      error
		status    int
	}{
		{"GetServiceGraph", graph, trace.Errorf(trace.KindInvalid, "says why"), &types.InvalidRequestException{}, 400},
		{"GetServiceGraph", graph, trace.Errorf(trace.KindThrottled, "says why"), &types.ThrottledException{}, 429},
		{"TagResource", tagResource, trace.Errorf(trace.KindNotFound, "says why"), &types.ResourceNotFoundException{}, 404},
		{"TagResource", tagResource, modelled("TooManyTagsException", 400), &types.TooManyTagsException{}, 400},
		{"CreateSamplingRule", createRule, modelled("RuleLimitExceededException", 400), &types.RuleLimitExceededException{}, 400},
		{"PutResourcePolicy", putPolicy, modelled("MalformedPolicyDocumentException", 400), &types.MalformedPolicyDocumentException{}, 400},
		{"PutResourcePolicy", putPolicy, modelled("LockoutPreventionException", 400), &types.LockoutPreventionException{}, 400},
		{"PutResourcePolicy", putPolicy, modelled("InvalidPolicyRevisionIdException", 400), &types.InvalidPolicyRevisionIdException{}, 400},
		{"PutResourcePolicy", putPolicy, modelled("PolicySizeLimitExceededException", 400), &types.PolicySizeLimitExceededException{}, 400},
		{"PutResourcePolicy", putPolicy, modelled("PolicyCountLimitExceededException", 400), &types.PolicyCountLimitExceededException{}, 400},
	} {
		name := reflect.TypeOf(c.want).Elem().Name()
		err := c.call(client(t, c.operation, c.answer))
		target := reflect.New(reflect.TypeOf(c.want))
		if !errors.As(err, target.Interface()) {
			t.Errorf("%s: %v is no %s", c.operation, err, name)
			continue
		}
		got := target.Elem().Interface().(smithy.APIError)
		silent := name == "MalformedPolicyDocumentException" // natively without a text
		if got.ErrorCode() != name || got.ErrorMessage() != "says why" && !silent {
			t.Errorf("%s: %s: %q", c.operation, got.ErrorCode(), got.ErrorMessage())
		}
		var answer *awshttp.ResponseError
		if !errors.As(err, &answer) || answer.HTTPStatusCode() != c.status || len(answer.ServiceRequestID()) != 36 {
			t.Errorf("%s: %v", c.operation, err)
		}
	}
}

// TestExceptions_ofTheFramework checks that the SDK returns the code of each.
func TestExceptions_ofTheFramework(t *testing.T) {
	for _, c := range []struct {
		call         func(*xray.Client) error
		name, inText string
		status       int
	}{
		{func(c *xray.Client) error {
			_, err := c.GetInsight(context.Background(), &xray.GetInsightInput{InsightId: aws.String("nonsense")})
			return err
		}, "ValidationException", "at 'insightId' failed to satisfy constraint: Member must satisfy regular expression pattern", http.StatusBadRequest},
		{func(c *xray.Client) error {
			_, err := c.BatchGetTraces(context.Background(), &xray.BatchGetTracesInput{TraceIds: []string{strings.Repeat("1", 36)}})
			return err
		}, "ValidationException", "at 'traceIds' failed to satisfy constraint", http.StatusBadRequest},
	} {
		err := c.call(client(t, "", nil))
		var got smithy.APIError
		var answer *awshttp.ResponseError
		if !errors.As(err, &got) || got.ErrorCode() != c.name || !strings.Contains(got.ErrorMessage(), c.inText) || !errors.As(err, &answer) || answer.HTTPStatusCode() != c.status {
			t.Errorf("%v, want %s %s", err, c.name, c.inText)
		}
	}
}
