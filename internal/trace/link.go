package trace

// LinkReference is the attribute of a link that says which side the linked segment
// is: parent, as without the attribute, if it came before; LinkChild if it came after.
const (
	LinkReference = "aws.xray.reserved.reference_type"
	LinkChild     = "child"
)
