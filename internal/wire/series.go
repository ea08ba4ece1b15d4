package wire

// GetTimeSeriesServiceStatisticsRequest asks GetTimeSeriesServiceStatistics.
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

// GetTimeSeriesServiceStatisticsResult answers GetTimeSeriesServiceStatistics.
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

// ForecastStatistics is the band in which faults are expected; both null while
// nothing is predicted.
type ForecastStatistics struct {
	FaultCountHigh *int64
	FaultCountLow  *int64
}
