package decode

import "strings"

// awsBlock is the aws member of a document, apart from what follows from the
// resource alone.
type awsBlock struct {
	present bool
	account string
	calleeBlock
	samplingRule string
}

// calleeBlock is the part of an aws block that describes a call.
type calleeBlock struct {
	operation, region, requestID, queueURL, tableName string
	tableNames                                        []string
	// The collector never writes these.
	extendedID, bucket, topicARN, function string
}

// mapAWS makes the aws block. Where several attributes mean the same, the last
// one counts.
func (m *Mapper) mapAWS(d *mapped) {
	if !d.res.isAWS {
		return
	}
	s, a := d.span, &d.aws
	a.present, a.account = true, d.res.account
	if s.attrs.aws {
		a.take(s)
	}
	if s.has(keyMessagingURL) {
		a.queueURL = s.str(keyMessagingURL)
	}
	if v := s.get(keyAWSDynamoDBTableNames); v != nil {
		a.setTables(v)
	}
	if d.part == 1 {
		a.account = ""
	}
	if m.native() {
		m.addCallee(d)
	}
}

// take takes the attributes that describe AWS calls alone.
func (a *awsBlock) take(s *span) {
	for i := range s.list {
		v := &s.list[i].value
		switch s.list[i].key {
		case keyAWSAccountID:
			if v.kind != emptyValue {
				a.account = v.str()
			}
		case keyAWSRegion:
			a.region = v.str()
		case keyAWSRequestID, keyAWSRequestID2:
			a.requestID = v.str()
		case keyAWSQueueURL, keyAWSQueueURL2:
			a.queueURL = v.str()
		case keyAWSTableName, keyAWSTableName2:
			a.tableName = v.str()
		}
	}
	if s.has(keyAWSOperation) {
		a.operation = s.str(keyAWSOperation)
	} else {
		a.operation = s.str(keyRPCMethod)
	}
}

// setTables takes the table names of a DynamoDB call.
func (a *awsBlock) setTables(v *anyValue) {
	switch v.kind {
	case stringValue:
		a.tableName = v.str()
	case arrayValue:
		if names := stringsOf(v); len(names) == 1 {
			a.tableName = names[0]
		} else if len(names) > 1 {
			a.tableName, a.tableNames = "", names
		}
	}
}

// addCallee takes the newer names of OpenTelemetry's AWS conventions.
func (m *Mapper) addCallee(d *mapped) {
	s, a := d.span, &d.aws
	// The stable conventions put the service before the method.
	if s.str(keyRPCSystemName) == awsRPC && !s.has(keyAWSOperation) {
		a.operation = a.operation[strings.LastIndexByte(a.operation, '/')+1:]
	}
	if a.requestID == "" {
		a.requestID = s.str(keyAWSRequestID3)
	}
	if a.queueURL == "" {
		a.queueURL = s.str(keySQSQueueURL)
	}
	if a.region == "" && (s.awsSDK() || s.str(keyRPCSystemName) == awsRPC) {
		a.region = s.str(keyCloudRegion)
	}
	a.extendedID = s.str(keyAWSExtendedRequestID)
	a.bucket = s.str(keyAWSS3Bucket)
	a.topicARN = s.str(keyAWSSNSTopicARN)
	a.function = s.firstStr(keyAWSLambdaFunctionName, keyFaasInvokedName)
	a.samplingRule = s.str(keyAWSXRaySamplingRule)
}

// mapSQL makes the sql block of calls to SQL databases.
func (m *Mapper) mapSQL(d *mapped) {
	s, q := d.span, &d.sql
	system := s.str(keyDBSystem)
	if m.native() {
		system = stableSystem(s.firstStr(keyDBSystem, keyDBSystemName))
	}
	if system == "" || !isSQL(system) && !(m.native() && isOtherSQL(system)) {
		return
	}
	q.present, q.system = true, system
	// The collector finds the span's name more useful here than the URL of the
	// database, which is in connection_string.
	q.url = s.name
	q.user, q.query = s.str(keyDBUser), s.str(keyDBStatement)
	if q.query == "" && m.native() {
		q.query = s.str(keyDBQueryText)
	}
}

// connection is sql.connection_string, which only the text of a document has.
func (m *Mapper) connection(d *mapped) string {
	s := d.span
	database, connection := s.str(keyDBName), s.str(keyDBConnectionString)
	if m.native() {
		if database == "" {
			database = s.str(keyDBNamespace)
		}
		if host := s.str(keyServerAddress); connection == "" && host != "" {
			connection = d.sql.system + "://" + host
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
type sqlBlock struct {
	present                  bool
	url, query, system, user string
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
