package wire

// GetTimeSeriesServiceStatisticsRequest is the request of
// GetTimeSeriesServiceStatistics.
type GetTimeSeriesServiceStatisticsRequest struct {
	EndTime                  *Timestamp
	EntitySelectorExpression *string
	ForecastStatistics       *bool
	GroupARN                 *string
	GroupName                *string
	NextToken                *string
	Period                   *int32
	StartTime                *Timestamp
}

// GetTimeSeriesServiceStatisticsResult is the answer of
// GetTimeSeriesServiceStatistics.
type GetTimeSeriesServiceStatisticsResult struct {
	ContainsOldGroupVersions    bool
	NextToken                   *string
	TimeSeriesServiceStatistics []TimeSeriesServiceStatistics
}

// TimeSeriesServiceStatistics is one bucket; Timestamp is its end.
type TimeSeriesServiceStatistics struct {
	EdgeSummaryStatistics     *Statistics
	ResponseTimeHistogram     []HistogramEntry
	ServiceForecastStatistics ForecastStatistics
	ServiceSummaryStatistics  *Statistics
	Timestamp                 Timestamp
}

// ForecastStatistics is the expected range of faults; both members are null while
// there is no forecast.
type ForecastStatistics struct {
	FaultCountHigh *int64
	FaultCountLow  *int64
}
