package otlp

import (
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// resource is a parsed Resource with the parts of a segment document that depend on it
// alone.
type resource struct {
	attrs
	dropped uint32
	scope   *trace.OTLPScope

	isAWS    bool // cloud.provider is aws or missing: documents have an aws block
	ec2      bool // runs on an EC2 instance
	origin   string
	version  string
	arn      string
	language string
	service  string
	account  string
	// instance and zone belong to the ec2 block, zone also to the ecs block.
	instance, zone string

	kept *keptResource
}

// keptResource is the part of a resource that its segments keep in memory.
type keptResource struct {
	identity trace.Resource
	// searched selects the attributes that search finds; found are those of the
	// resource.
	searched *Patterns
	found    []trace.Annotation
}

// parseResource reads the Resource message of scope.
func (m *Mapper) parseResource(scope *trace.OTLPScope) (*resource, error) {
	r := &resource{scope: scope}
	f := FieldsOf(scope.Resource)
	for f.Next() {
		var err error
		switch {
		case f.Is(1, Bytes):
			err = r.add(f.Data)
		case f.Is(2, Varint):
			r.dropped = uint32(f.Num)
		}
		if err != nil {
			return nil, err
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	provider := r.str(keyCloudProvider)
	r.isAWS = provider == "" || provider == "aws"
	r.ec2 = r.str(keyCloudPlatform) == "aws_ec2" || r.str(keyHostID) != ""
	if r.ec2 {
		r.instance = r.str(keyHostID)
	}
	if r.ec2 || r.str(keyCloudPlatform) == "aws_ecs" {
		r.zone = r.str(keyCloudAvailabilityZone)
	}
	r.origin = r.originOf()
	r.version = r.str(keyServiceVersion)
	if !r.has(keyServiceVersion) {
		r.version = r.str(keyContainerImageTag)
	}
	r.language = r.str(keyTelemetrySDKLanguage)
	r.service = r.str(keyServiceName)
	r.account = r.str(keyCloudAccountID)
	r.kept = &keptResource{identity: trace.Resource{Service: r.service, Namespace: r.str(keyServiceNamespace), Instance: r.str(keyServiceInstanceID), Environment: r.environment()}}
	if m.native() {
		r.arn = r.str(keyAWSXRayResourceARN)
		if id := r.str(keyCloudResourceID); r.arn == "" && strings.HasPrefix(id, "arn:") {
			r.arn = id
		}
	}
	r.kept.searched = m.options.Searched
	r.find()
	return r, nil
}

// environment returns the deployment environment (semantic conventions, deployment.*; the
// older name counts if the newer one is absent), "" if there is none. The mapping does not
// read these attributes otherwise, so they have no keys.
func (r *resource) environment() (name string) {
	for i := range r.list {
		a := &r.list[i]
		if a.key != keyOther {
			continue
		}
		switch string(a.data) {
		case "deployment.environment.name":
			return a.Value.Text()
		case "deployment.environment":
			name = a.Value.Text()
		}
	}
	return name
}

// originOf returns the X-Ray origin of the platform that the service runs on, "" if
// X-Ray has no name for it (collector awsxrayexporter, determineAwsOrigin).
func (r *resource) originOf() string {
	if r.has(keyCloudProvider) && r.str(keyCloudProvider) != "aws" {
		return ""
	}
	switch r.str(keyCloudPlatform) {
	case "aws_app_runner":
		return "AWS::AppRunner::Service"
	case "aws_eks":
		return "AWS::EKS::Container"
	case "aws_elastic_beanstalk":
		return "AWS::ElasticBeanstalk::Environment"
	case "aws_ecs":
		switch r.str(keyAWSECSLaunchtype) {
		case "ec2":
			return "AWS::ECS::EC2"
		case "fargate":
			return "AWS::ECS::Fargate"
		}
		return "AWS::ECS::Container"
	case "aws_ec2":
		return "AWS::EC2::Instance"
	}
	return ""
}

// stringsOf reads a list attribute: an array, or a string with & between elements, as
// OTEL_RESOURCE_ATTRIBUTES writes lists. Elements that are not strings become "".
func stringsOf(v *Value) []string {
	if v == nil {
		return nil
	}
	var out []string
	switch v.kind {
	case stringValue:
		for s := range strings.SplitSeq(v.Text(), "&") {
			if s != "" {
				out = append(out, s)
			}
		}
	case arrayValue:
		// The message was checked when it was received.
		_ = eachElement(v.data, func(e *Value) error {
			out = append(out, e.Text())
			return nil
		}, 1)
	}
	return out
}
