package trace

// Owner says whose records a call is about. Traces and records are kept apart by
// account; the region only shows in ARNs. So what makes or reads an ARN takes an
// Owner, everything else takes the account.
type Owner struct {
	Account Account
	Region  string // such as us-east-1
}

// Linked is an account whose traces the reader of another account sees, too: what was
// received at or after Since.
type Linked struct {
	Account Account
	Since   Time
}

// ARN names one of the owner's X-Ray resources, such as "group/Default" or
// "sampling-rule/checkout" (Service Authorization Reference, "Resource types
// defined by AWS X-Ray").
func (o Owner) ARN(resource string) string {
	return "arn:aws:xray:" + o.Region + ":" + string(o.Account) + ":" + resource
}
