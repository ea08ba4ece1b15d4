package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// decodeAWS reads the aws block: of segments where the code runs, of subsegments
// what was called (X-Ray developer guide, segment documents, "AWS resource data").
func decodeAWS(a *trace.AWS, v jsonscan.Value) {
	for name, m := range v.Members() {
		switch string(name) {
		case "account_id":
			a.AccountID = m.Text()
		case "operation":
			a.Operation = m.Text()
		case "region":
			a.Region = m.Text()
		case "table_name":
			a.TableName = m.Text()
		case "bucket_name":
			a.BucketName = m.Text()
		case "queue_url":
			a.QueueURL = m.Text()
		case "topic_arn":
			a.TopicARN = m.Text()
		case "function_name":
			a.FunctionName = m.Text()
		case "ec2":
			a.InstanceID = m.Get("instance_id").Text()
			if zone := m.Get("availability_zone").Text(); zone != "" {
				a.AvailabilityZone = zone
			}
		case "ecs":
			if a.AvailabilityZone == "" {
				a.AvailabilityZone = m.Get("availability_zone").Text()
			}
		case "xray":
			// Go, Python, Ruby and .NET write the first, Java and Node the second.
			a.SamplingRule = m.Get("sampling_rule_name").Text()
			if a.SamplingRule == "" {
				a.SamplingRule = m.Get("rule_name").Text()
			}
		}
	}
}
