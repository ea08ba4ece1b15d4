package otlp

import "strings"

// AWS is the aws block of a document, without what depends on the resource alone.
type AWS struct {
	Present bool
	Account string
	Call
	SamplingRule string
}

// Call is the part of an aws block that describes a call.
type Call struct {
	Operation, Region, RequestID, QueueURL, TableName string
	TableNames                                        []string
	// The collector does not write these.
	ExtendedID, Bucket, TopicARN, Function string
}

// mapAWS fills the aws block. Of several attributes with the same meaning the last
// counts.
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

// take reads the attributes that only AWS calls have.
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

// setTables reads the table names of a DynamoDB call.
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

// addCallee reads the newer names of OpenTelemetry's AWS conventions.
func (m *Mapper) addCallee(d *Document) {
	s, a := d.Span, &d.AWS
	// The stable conventions write service/method.
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

// mapSQL fills the sql block of a call to an SQL database.
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
	// As the collector does: the span's name says more than the URL of the database,
	// which connection_string holds.
	q.URL = s.Name
	q.User, q.Query = s.str(keyDBUser), s.str(keyDBStatement)
	if q.Query == "" && m.native() {
		q.Query = s.str(keyDBQueryText)
	}
}

// Connection returns sql.connection_string.
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

// SQL is the sql block of a document.
type SQL struct {
	Present                  bool
	URL, Query, System, User string
}

// isSQL says whether the collector counts a db.system as an SQL database.
func isSQL(system string) bool {
	switch system {
	case "db2", "derby", "hive", "mariadb", "mssql", "mysql", "oracle", "postgresql", "sqlite", "teradata", "other_sql":
		return true
	}
	return false
}

// isOtherSQL says whether a db.system is an SQL database that the collector does not
// know.
func isOtherSQL(system string) bool {
	switch system {
	case "cockroachdb", "redshift", "h2", "hsqldb", "clickhouse", "trino", "firebirdsql", "firebird", "vertica", "hanadb", "ingres", "informix", "netezza", "spanner",
		"maxdb", "sybase", "edb", "interbase", "instantdb", "mssqlcompact":
		return true
	}
	return false
}

// stableSystem translates the stable name of a database system into the older one.
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
