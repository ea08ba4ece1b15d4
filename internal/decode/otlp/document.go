package otlp

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Document holds the content of the segment document of one part of a span, without
// annotations and metadata (EachAttribute). Both the typed segment and the JSON text
// are made from it.
type Document struct {
	Span *Span
	Part uint8

	ID, Parent trace.SegmentID
	// Peer names the callee; "" if Name does.
	Name, Peer             string
	Namespace, User        string
	Subsegment, InProgress bool
	Error, Fault, Throttle bool
	HTTP                   HTTP
	AWS                    AWS
	SQL                    SQL
	HasCause               bool // Exceptions may still be empty
	Exceptions             []Exception

	mapper      *Mapper
	res         *resource
	eventCaused bool // Exceptions come from events
	// storeResource says that the metadata shows resource attributes.
	storeResource bool
}

// Document maps the span of a segment. opens says that the span is the first of its
// service in its trace, which makes it a segment; only the assembled trace knows that.
// The error says why Segment.Raw is not a span.
func (m *Mapper) Document(seg *trace.Segment, opens bool) (d Document, err error) {
	scope := seg.Scope
	if scope == nil {
		scope = new(trace.OTLPScope)
	}
	res, err := m.parseResource(scope)
	if err != nil {
		return d, fmt.Errorf("render span %s: resource: %w", seg.ID, err)
	}
	s := new(Span)
	if err := s.parse(seg.Raw); err != nil {
		return d, fmt.Errorf("render span %s: %w", seg.ID, err)
	}
	m.mapSpan(&d, s, res, seg.Part, opens)
	return d, nil
}

// Profile returns the rules that made the document.
func (d *Document) Profile() Profile { return d.mapper.options.Profile }

// Origin returns the X-Ray origin of the service's host, "" if X-Ray has none.
func (d *Document) Origin() string { return d.res.origin }

// ResourceARN returns the ARN of the service's host.
func (d *Document) ResourceARN() string { return d.res.arn }

// Version returns the version of the service; ok says that the document has a service
// block.
func (d *Document) Version() (version string, ok bool) {
	return d.res.version, d.res.has(keyServiceVersion) || d.res.has(keyContainerImageTag)
}

// Scope returns the span's instrumentation scope and the schema URLs of scope and
// resource.
func (d *Document) Scope() (scope Scope, scopeSchema, resourceSchema string) {
	// The message was checked when it was received.
	scope, _ = parseScope(d.res.scope.Scope)
	return scope, d.res.scope.ScopeSchema, d.res.scope.ResourceSchema
}

// SDK returns the members of aws.xray: name, such as "opentelemetry for java", version,
// and whether the service was instrumented without code changes.
func (d *Document) SDK() (name, version string, auto bool) {
	r := d.res
	name = r.str(keyTelemetrySDKName)
	if name != "" && r.language != "" {
		name += " for " + r.language
	}
	// Of two attributes with this meaning the last counts.
	k := keyTelemetryAutoVersion
	if r.first[keyTelemetryDistroVersion] > r.first[k] {
		k = keyTelemetryDistroVersion
	}
	return name, r.str(keyTelemetrySDKVersion), r.str(k) != ""
}

// Host is the part of an aws block that describes where the service runs.
type Host struct {
	Beanstalk Beanstalk
	LogGroups []LogGroup
	ECS       ECS
	EC2       EC2
	EKS       EKS
}

// Beanstalk is aws.elastic_beanstalk.
type Beanstalk struct {
	Present                   bool
	Environment, VersionLabel string
	Deployment                int64
}

// LogGroup is one element of aws.cloudwatch_logs.
type LogGroup struct{ Name, ARN string }

// ECS is aws.ecs.
type ECS struct {
	Present                                                                                             bool
	Container, ContainerID, TaskARN, TaskFamily, ClusterARN, ContainerARN, AvailabilityZone, LaunchType string
}

// EC2 is aws.ec2.
type EC2 struct {
	Present                                   bool
	InstanceID, AvailabilityZone, Size, Image string
}

// EKS is aws.eks.
type EKS struct {
	Present                   bool
	Cluster, Pod, ContainerID string
}

// Host returns the description of where the service runs.
func (d *Document) Host() (h Host) {
	r := d.res
	platform := r.str(keyCloudPlatform)
	zone, container := r.str(keyCloudAvailabilityZone), r.str(keyContainerID)
	h.LogGroups = r.logGroups(d.mapper.options.LogGroups)
	if id := r.str(keyServiceInstanceID); platform == "aws_elastic_beanstalk" && id != "" {
		h.Beanstalk = Beanstalk{Present: true, Environment: r.str(keyServiceNamespace), VersionLabel: r.str(keyServiceVersion)}
		if n, err := strconv.ParseInt(id, 10, 64); err == nil {
			h.Beanstalk.Deployment = n
		}
	}
	if platform == "aws_ecs" {
		h.ECS = ECS{
			Present: true, Container: r.str(keyContainerName), ContainerID: container, TaskARN: r.str(keyAWSECSTaskARN), TaskFamily: r.str(keyAWSECSTaskFamily),
			ClusterARN: r.str(keyAWSECSClusterARN), ContainerARN: r.str(keyAWSECSContainerARN), AvailabilityZone: zone, LaunchType: r.str(keyAWSECSLaunchtype),
		}
	}
	if r.ec2 {
		h.EC2 = EC2{Present: true, InstanceID: r.str(keyHostID), AvailabilityZone: zone, Size: r.str(keyHostType), Image: r.str(keyHostImageID)}
	}
	if cluster := r.str(keyK8sClusterName); platform == "aws_eks" || cluster != "" {
		h.EKS = EKS{Present: true, Cluster: cluster, Pod: r.str(keyK8sPodName), ContainerID: container}
	}
	return h
}

// logGroups returns the log groups of the service: by ARN, else by name, else the
// configured ones.
func (r *resource) logGroups(configured []string) []LogGroup {
	var out []LogGroup
	for _, arn := range stringsOf(r.get(keyAWSLogGroupARNs)) {
		name := arn
		if parts := strings.Split(arn, ":"); len(parts) >= 7 {
			name = parts[6]
		}
		out = append(out, LogGroup{name, arn})
	}
	if out != nil {
		return out
	}
	names := stringsOf(r.get(keyAWSLogGroupNames))
	if names == nil {
		names = configured
	}
	for _, name := range names {
		out = append(out, LogGroup{Name: name})
	}
	return out
}
