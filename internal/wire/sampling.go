package wire

// GetSamplingRulesResult answers GetSamplingRules.
type GetSamplingRulesResult struct {
	NextToken           *string
	SamplingRuleRecords []SamplingRuleRecord
}

// SamplingRuleRecord is a rule and when it was made.
type SamplingRuleRecord struct {
	CreatedAt    Timestamp
	ModifiedAt   Timestamp
	SamplingRule SamplingRule
}

// SamplingRule is a rule. SDKs need every member with its type; the boost is left
// out when there is none.
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

// SamplingRateBoost says how far a rule's rate may rise, and how often.
type SamplingRateBoost struct {
	CooldownWindowMinutes Count
	MaxRate               float64
}

// CreateSamplingRuleRequest asks CreateSamplingRule.
type CreateSamplingRuleRequest struct {
	SamplingRule *SamplingRuleChange
	Tags         []Tag
}

// UpdateSamplingRuleRequest asks UpdateSamplingRule.
type UpdateSamplingRuleRequest struct {
	SamplingRuleUpdate *SamplingRuleChange
}

// SamplingRuleChange is a rule to create, or what to change of one: an update has
// no Version.
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

// DeleteSamplingRuleRequest asks DeleteSamplingRule.
type DeleteSamplingRuleRequest struct {
	RuleARN  *string
	RuleName *string
}

// SamplingRuleResult answers CreateSamplingRule, UpdateSamplingRule and
// DeleteSamplingRule.
type SamplingRuleResult struct {
	SamplingRuleRecord SamplingRuleRecord
}

// GetSamplingTargetsRequest asks GetSamplingTargets.
type GetSamplingTargetsRequest struct {
	SamplingBoostStatisticsDocuments []SamplingBoostStatisticsDocument
	SamplingStatisticsDocuments      []SamplingStatisticsDocument
}

// SamplingStatisticsDocument is what one client counted for one rule.
type SamplingStatisticsDocument struct {
	BorrowCount  *Count
	ClientID     *string
	RequestCount *Count
	RuleName     *string
	SampledCount *Count
	Timestamp    *Timestamp
}

// SamplingBoostStatisticsDocument is what one client saw of anomalies.
type SamplingBoostStatisticsDocument struct {
	AnomalyCount        *Count
	RuleName            *string
	SampledAnomalyCount *Count
	ServiceName         *string
	Timestamp           *Timestamp
	TotalCount          *Count
}

// GetSamplingTargetsResult answers GetSamplingTargets.
// UnprocessedBoostStatistics is there only when boost documents were sent.
type GetSamplingTargetsResult struct {
	LastRuleModification       Timestamp
	SamplingTargetDocuments    []SamplingTargetDocument
	UnprocessedBoostStatistics *[]UnprocessedStatistics `json:",omitempty"`
	UnprocessedStatistics      []UnprocessedStatistics
}

// SamplingTargetDocument is one client's share of a rule. The boost is left out
// when there is none.
type SamplingTargetDocument struct {
	FixedRate         float64
	Interval          int
	ReservoirQuota    int
	ReservoirQuotaTTL Timestamp
	RuleName          string
	SamplingBoost     *SamplingBoost `json:",omitempty"`
}

// SamplingBoost is a raised rate and until when it holds.
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

// GetSamplingStatisticSummariesResult answers GetSamplingStatisticSummaries.
type GetSamplingStatisticSummariesResult struct {
	NextToken                  *string
	SamplingStatisticSummaries []SamplingStatisticSummary
}

// SamplingStatisticSummary counts a rule's last closed window.
type SamplingStatisticSummary struct {
	BorrowCount  int64
	RequestCount int64
	RuleName     string
	SampledCount int64
	Timestamp    Timestamp
}
