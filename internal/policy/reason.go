package policy

import (
	"fmt"
	"strings"
)

// layerNames has the words for layers of the texts of AWS's AccessDeniedException.
var layerNames = map[Layer]string{
	LayerIdentity: "identity-based policy",
	LayerResource: "resource-based policy",
	LayerBoundary: "permissions boundary",
	LayerSession:  "session policy",
	LayerSCP:      "service control policy",
	LayerTrust:    "role trust policy",
}

// article returns a layer's name with its article.
func (l Layer) article() string {
	switch l {
	case LayerIdentity:
		return "an " + layerNames[l]
	case LayerTrust:
		return "the " + layerNames[l]
	}
	return "a " + layerNames[l]
}

// Cause returns the reason of a denial as AWS words it, to be put after "is not
// authorized to perform: ACTION [on resource: ARN] "; "" for an allowed request. An
// explicit deny names its policy if that has an ARN, as AWS does since 2026.
func (d Decision) Cause() string {
	switch {
	case d.Allowed:
		return ""
	case !d.Explicit:
		return fmt.Sprintf("because no %s allows the %s action", layerNames[d.By], d.Action)
	case d.Policy.ARN != "":
		return fmt.Sprintf("with an explicit deny in %s: %s", d.By.article(), d.Policy.ARN)
	}
	return "with an explicit deny in " + d.By.article()
}

// String describes a decision for people: the layer, and the policy and statement that
// decided.
func (d Decision) String() string {
	if d.Allowed && d.By == LayerRoot {
		return "by root: the account's root user needs no policy"
	}
	layer := string(d.By)
	if d.Level > 0 {
		layer += fmt.Sprintf(" (level %d)", d.Level)
	}
	if d.Statement == 0 {
		return fmt.Sprintf("implicit, by %s: no %s allows the %s action", layer, layerNames[d.By], d.Action)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "explicit, by %s: %s", layer, place(d.Statement-1, d.Sid))
	fmt.Fprintf(&b, " of policy %d", d.Index)
	switch {
	case d.Policy.ARN != "":
		fmt.Fprintf(&b, " (%s)", d.Policy.ARN)
	case d.Policy.Name != "":
		fmt.Fprintf(&b, " (%.128q)", d.Policy.Name)
	}
	return b.String()
}
