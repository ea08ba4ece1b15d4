package otlp

import "strings"

// awsBlock is the aws member of a document, apart from what follows from the
// resource alone.
type AWS struct {
	Present bool
	Account string
	Call
	SamplingRule string
}

// calleeBlock is the part of an aws block that describes a call.
type Call struct {
	Operation, Region, RequestID, QueueURL, TableName string
	TableNames                                        []string
	// The collector never writes these.
	ExtendedID, Bucket, TopicARN, Function string
}

// mapAWS makes the aws block. Where several attributes mean the same, the last
// one counts.
func (m *Mapper) mapAWS(d *Document) {
	if !d.res.isAWS {
		return
	}
	s, a := d.Span, &d.AWS
	a.Present, a.Account = true, d.res.account
	if s.attrs.aws {
		a.take(s)
	}
	if s.has(keyMessagingURL) {
		a.QueueURL = s.str(keyMessagingURL)
	}
	if v := s.get(keyAWSDynamoDBTableNames); v != nil {
		a.setTables(v)
	}
	if d.Part == 1 {
		a.Account = ""
	}
	if m.native() {
		m.addCallee(d)
	}
}

// take takes the attributes that describe AWS calls alone.
func (a *AWS) take(s *Span) {
	for i := range s.list {
		v := &s.list[i].Value
		switch s.list[i].key {
		case keyAWSAccountID:
			if v.kind != emptyValue {
				a.Account = v.Text()
			}
		case keyAWSRegion:
			a.Region = v.Text()
		case keyAWSRequestID, keyAWSRequestID2:
			a.RequestID = v.Text()
		case keyAWSQueueURL, keyAWSQueueURL2:
			a.QueueURL = v.Text()
		case keyAWSTableName, keyAWSTableName2:
			a.TableName = v.Text()
		}
	}
	if s.has(keyAWSOperation) {
		a.Operation = s.str(keyAWSOperation)
	} else {
		a.Operation = s.str(keyRPCMethod)
	}
}

// setTables takes the table names of a DynamoDB call.
func (a *AWS) setTables(v *Value) {
	switch v.kind {
	case stringValue:
		a.TableName = v.Text()
	case arrayValue:
		if names := stringsOf(v); len(names) == 1 {
			a.TableName = names[0]
		} else if len(names) > 1 {
			a.TableName, a.TableNames = "", names
		}
	}
}

// addCallee takes the newer names of OpenTelemetry's AWS conventions.
func (m *Mapper) addCallee(d *Document) {
	s, a := d.Span, &d.AWS
	// The stable conventions put the service before the method.
	if s.str(keyRPCSystemName) == awsRPC && !s.has(keyAWSOperation) {
		a.Operation = a.Operation[strings.LastIndexByte(a.Operation, '/')+1:]
	}
	if a.RequestID == "" {
		a.RequestID = s.str(keyAWSRequestID3)
	}
	if a.QueueURL == "" {
		a.QueueURL = s.str(keySQSQueueURL)
	}
	if a.Region == "" && (s.awsSDK() || s.str(keyRPCSystemName) == awsRPC) {
		a.Region = s.str(keyCloudRegion)
	}
	a.ExtendedID = s.str(keyAWSExtendedRequestID)
	a.Bucket = s.str(keyAWSS3Bucket)
	a.TopicARN = s.str(keyAWSSNSTopicARN)
	a.Function = s.firstStr(keyAWSLambdaFunctionName, keyFaasInvokedName)
	a.SamplingRule = s.str(keyAWSXRaySamplingRule)
}

// mapSQL makes the sql block of calls to SQL databases.
func (m *Mapper) mapSQL(d *Document) {
	s, q := d.Span, &d.SQL
	system := s.str(keyDBSystem)
	if m.native() {
		system = stableSystem(s.firstStr(keyDBSystem, keyDBSystemName))
	}
	if system == "" || !isSQL(system) && !(m.native() && isOtherSQL(system)) {
		return
	}
	q.Present, q.System = true, system
	// The collector finds the span's name more useful here than the URL of the
	// database, which is in connection_string.
	q.URL = s.Name
	q.User, q.Query = s.str(keyDBUser), s.str(keyDBStatement)
	if q.Query == "" && m.native() {
		q.Query = s.str(keyDBQueryText)
	}
}

// Connection is sql.connection_string, which only the text of a document has.
func (d *Document) Connection() string {
	s, m := d.Span, d.mapper
	database, connection := s.str(keyDBName), s.str(keyDBConnectionString)
	if m.native() {
		if database == "" {
			database = s.str(keyDBNamespace)
		}
		if host := s.str(keyServerAddress); connection == "" && host != "" {
			connection = d.SQL.System + "://" + host
			if s.has(keyServerPort) {
				connection += ":" + port(s.get(keyServerPort))
			}
		}
	}
	if connection == "" {
		connection = "localhost"
	}
	return connection + "/" + database
}

// sqlBlock is the sql member of a document.
type SQL struct {
	Present                  bool
	URL, Query, System, User string
}

// isSQL says whether the collector takes a db.system for an SQL database.
func isSQL(system string) bool {
	switch system {
	case "db2", "derby", "hive", "mariadb", "mssql", "mysql", "oracle", "postgresql", "sqlite", "teradata", "other_sql":
		return true
	}
	return false
}

// isOtherSQL lists the SQL databases that the collector does not know.
func isOtherSQL(system string) bool {
	switch system {
	case "cockroachdb", "redshift", "h2", "hsqldb", "clickhouse", "trino", "firebirdsql", "firebird", "vertica", "hanadb", "ingres", "informix", "netezza", "spanner",
		"maxdb", "sybase", "edb", "interbase", "instantdb", "mssqlcompact":
		return true
	}
	return false
}

// stableSystem is the older name of a database system.
func stableSystem(name string) string {
	switch name {
	case "microsoft.sql_server":
		return "mssql"
	case "oracle.db":
		return "oracle"
	case "h2database":
		return "h2"
	case "sap.hana":
		return "hanadb"
	case "azure.cosmosdb":
		return "cosmosdb"
	case "ibm.db2", "ibm.informix", "ibm.netezza", "aws.redshift", "aws.dynamodb", "gcp.spanner", "actian.ingres", "sap.maxdb", "softwareag.adabas":
		return name[strings.IndexByte(name, '.')+1:]
	}
	return name
}
