package decode

import (
	"cmp"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// aws reads the aws block: for a segment it tells where the code runs, for a subsegment
// the called service and resource (X-Ray developer guide, segment documents, "AWS
// resource data").
func (d *documentReader) aws() *trace.AWS {
	var a trace.AWS
	var containerZone string
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "account_id":
			a.AccountID = d.text()
		case "operation":
			a.Operation = d.text()
		case "region":
			a.Region = d.text()
		case "table_name":
			a.TableName = d.text()
		case "bucket_name":
			a.BucketName = d.text()
		case "queue_url":
			a.QueueURL = d.text()
		case "topic_arn":
			a.TopicARN = d.text()
		case "function_name":
			a.FunctionName = d.text()
		case "ec2":
			a.InstanceID, a.AvailabilityZone = d.two("instance_id", "availability_zone")
		case "ecs":
			containerZone, _ = d.two("availability_zone", "")
		case "xray":
			// SDKs for Go, Python, Ruby and .NET write the first, for Java and Node the
			// second.
			a.SamplingRule = cmp.Or(d.two("sampling_rule_name", "rule_name"))
		default:
			d.Skip()
		}
	}
	a.AvailabilityZone = cmp.Or(a.AvailabilityZone, containerZone)
	return d.memory.AWS(a)
}

// two reads two string members of an object, "" if missing.
func (d *documentReader) two(first, second string) (a, b string) {
	var va, vb jsonscan.Value
	for more := d.Object(); more; more = d.NextMember() {
		switch v := d.Skip(); string(d.Name()) {
		case first:
			va = v
		case second:
			vb = v
		}
	}
	return keep(va), keep(vb)
}
