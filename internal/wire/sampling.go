package wire

// GetSamplingRulesResult is the answer of GetSamplingRules.
type GetSamplingRulesResult struct {
	NextToken           *string
	SamplingRuleRecords []SamplingRuleRecord
}

// SamplingRuleRecord is a rule with the times of its creation and last change.
type SamplingRuleRecord struct {
	CreatedAt    Timestamp
	ModifiedAt   Timestamp
	SamplingRule SamplingRule
}

// SamplingRule is a rule. SDKs need every member with its type; the boost is omitted
// if there is none.
type SamplingRule struct {
	Attributes        map[string]string
	FixedRate         float64
	HTTPMethod        string
	Host              string
	Priority          int
	ReservoirSize     int
	ResourceARN       string
	RuleARN           string
	RuleName          string
	SamplingRateBoost *SamplingRateBoost `json:",omitempty"`
	ServiceName       string
	ServiceType       string
	URLPath           string
	Version           int
}

// SamplingRateBoost limits how high a rule's rate may rise, and how often.
type SamplingRateBoost struct {
	CooldownWindowMinutes Count
	MaxRate               float64
}

// CreateSamplingRuleRequest is the request of CreateSamplingRule.
type CreateSamplingRuleRequest struct {
	SamplingRule *SamplingRuleChange
	Tags         []Tag
}

// UpdateSamplingRuleRequest is the request of UpdateSamplingRule.
type UpdateSamplingRuleRequest struct {
	SamplingRuleUpdate *SamplingRuleChange
}

// SamplingRuleChange is a rule to create, or the changes to a rule. An update has no
// Version.
type SamplingRuleChange struct {
	Attributes        map[string]string
	FixedRate         *float64
	HTTPMethod        *string
	Host              *string
	Priority          *Count
	ReservoirSize     *Count
	ResourceARN       *string
	RuleARN           *string
	RuleName          *string
	SamplingRateBoost *SamplingRateBoost
	ServiceName       *string
	ServiceType       *string
	URLPath           *string
	Version           *Count
}

// DeleteSamplingRuleRequest is the request of DeleteSamplingRule.
type DeleteSamplingRuleRequest struct {
	RuleARN  *string
	RuleName *string
}

// SamplingRuleResult is the answer of CreateSamplingRule, UpdateSamplingRule and
// DeleteSamplingRule.
type SamplingRuleResult struct {
	SamplingRuleRecord SamplingRuleRecord
}

// GetSamplingTargetsRequest is the request of GetSamplingTargets.
type GetSamplingTargetsRequest struct {
	SamplingBoostStatisticsDocuments []SamplingBoostStatisticsDocument
	SamplingStatisticsDocuments      []SamplingStatisticsDocument
}

// SamplingStatisticsDocument holds one client's counts for one rule.
type SamplingStatisticsDocument struct {
	BorrowCount  *Count
	ClientID     *string
	RequestCount *Count
	RuleName     *string
	SampledCount *Count
	Timestamp    *Timestamp
}

// SamplingBoostStatisticsDocument holds one client's counts of anomalies.
type SamplingBoostStatisticsDocument struct {
	AnomalyCount        *Count
	RuleName            *string
	SampledAnomalyCount *Count
	ServiceName         *string
	Timestamp           *Timestamp
	TotalCount          *Count
}

// GetSamplingTargetsResult is the answer of GetSamplingTargets.
// UnprocessedBoostStatistics is present only if boost documents were sent.
type GetSamplingTargetsResult struct {
	LastRuleModification       Timestamp
	SamplingTargetDocuments    []SamplingTargetDocument
	UnprocessedBoostStatistics *[]UnprocessedStatistics `json:",omitempty"`
	UnprocessedStatistics      []UnprocessedStatistics
}

// SamplingTargetDocument is one client's share of a rule. The boost is omitted if
// there is none.
type SamplingTargetDocument struct {
	FixedRate         float64
	Interval          int
	ReservoirQuota    int
	ReservoirQuotaTTL Timestamp
	RuleName          string
	SamplingBoost     *SamplingBoost `json:",omitempty"`
}

// SamplingBoost is a raised rate and its expiry.
type SamplingBoost struct {
	BoostRate    float64
	BoostRateTTL Timestamp
}

// UnprocessedStatistics is a document for a rule that does not exist.
type UnprocessedStatistics struct {
	ErrorCode string
	Message   string
	RuleName  string
}

// GetSamplingStatisticSummariesResult is the answer of
// GetSamplingStatisticSummaries.
type GetSamplingStatisticSummariesResult struct {
	NextToken                  *string
	SamplingStatisticSummaries []SamplingStatisticSummary
}

// SamplingStatisticSummary counts a rule's last complete window.
type SamplingStatisticSummary struct {
	BorrowCount  int64
	RequestCount int64
	RuleName     string
	SampledCount int64
	Timestamp    Timestamp
}
