package otlp

// key numbers the attribute names that the mapping reads; 0 stands for all others.
// Numbers address a span's attributes without a map.
type key uint8

const (
	keyOther key = iota

	// http (the http block reads all of these)
	keyHTTPMethod
	keyHTTPRequestMethod
	keyHTTPClientIP
	keyHTTPUserAgent
	keyUserAgentOriginal
	keyHTTPStatusCode
	keyHTTPResponseStatusCode
	keyHTTPURL
	keyURLFull
	keyHTTPScheme
	keyURLScheme
	keyHTTPHost
	keyHTTPTarget
	keyURLQuery
	keyHTTPServerName
	keyNetHostPort
	keyHostName
	keyNetHostName
	keyNetPeerName
	keyNetPeerPort
	keyNetPeerIP
	keyNetworkPeerAddress
	keyClientAddress
	keyURLPath
	keyServerAddress
	keyServerPort

	// aws
	keyAWSOperation
	keyAWSAccountID
	keyAWSRegion
	keyAWSRequestID
	keyAWSRequestID2
	keyAWSQueueURL
	keyAWSQueueURL2
	keyAWSTableName
	keyAWSTableName2
	keyRPCMethod

	// sql
	keyDBConnectionString
	keyDBSystem
	keyDBName
	keyDBStatement
	keyDBUser

	// other
	keyHTTPStatusText
	keyPeerService
	keyAWSService
	keyRPCSystem
	keyRPCService
	keyMessagingURL
	keyAWSDynamoDBTableNames
	keyEnduserID
	keyAWSXRayAnnotations
	keyAWSLocalService
	keyAWSRemoteService
	keyAWSRemoteOperation
	keyRemoteTarget
	keyK8sRemoteNamespace
	keyAWSSpanKind
	keyMessageType
	keyMessagingMessagePayloadSizeBytes

	// native
	keyDBSystemName
	keyDBNamespace
	keyDBQueryText
	keyMessagingDestinationName
	keyMessagingDestination
	keyRPCSystemName
	keyUserID
	keyAWSS3Bucket
	keyAWSSNSTopicARN
	keySQSQueueURL
	keyAWSRequestID3
	keyAWSExtendedRequestID
	keyCloudRegion
	keyAWSLambdaFunctionName
	keyFaasInvokedName
	keyAWSXRaySamplingRule
	keyAWSXRayInProgress
	keyHTTPResponseBodySize
	keyHTTPResponseContentLength
	keyDBCassandraKeyspace
	keyDBElasticsearchCluster
	keyMessagingSystem
	keyMessagingDestinationTemplate
	keyMessagingDestinationTemporary
	keyMessagingDestinationAnonymous
	keyMessagingTempDestination
	keyMessagingRabbitMQKey
	keyMessagingRabbitMQRoutingKey
	keyGenAIProviderName
	keyGenAISystem
	keyNetSockPeerName
	keyNetSockPeerAddr
	keyServerSocketDomain
	keyServerSocketAddress

	// resource
	keyServiceName
	keyServiceVersion
	keyContainerImageTag
	keyCloudProvider
	keyCloudPlatform
	keyCloudAccountID
	keyCloudAvailabilityZone
	keyHostID
	keyHostType
	keyHostImageID
	keyContainerName
	keyContainerID
	keyK8sPodName
	keyK8sClusterName
	keyServiceNamespace
	keyServiceInstanceID
	keyTelemetrySDKName
	keyTelemetrySDKLanguage
	keyTelemetrySDKVersion
	keyTelemetryAutoVersion
	keyTelemetryDistroVersion
	keyAWSECSClusterARN
	keyAWSECSContainerARN
	keyAWSECSTaskARN
	keyAWSECSTaskFamily
	keyAWSECSLaunchtype
	keyAWSLogGroupNames
	keyAWSLogGroupARNs
	keyAWSXRayResourceARN
	keyCloudResourceID

	// event
	keyExceptionType
	keyExceptionMessage
	keyExceptionStacktrace
	keyAWSHTTPErrorMessage

	keyCount
)

// The last keys of the http, aws and sql blocks.
const (
	lastHTTPKey = keyServerPort
	lastAWSKey  = keyRPCMethod
	lastSQLKey  = keyDBUser
)

// keyNames are the attribute names of the keys.
var keyNames = [keyCount]string{
	// http
	keyHTTPMethod:             "http.method",
	keyHTTPRequestMethod:      "http.request.method",
	keyHTTPClientIP:           "http.client_ip",
	keyHTTPUserAgent:          "http.user_agent",
	keyUserAgentOriginal:      "user_agent.original",
	keyHTTPStatusCode:         "http.status_code",
	keyHTTPResponseStatusCode: "http.response.status_code",
	keyHTTPURL:                "http.url",
	keyURLFull:                "url.full",
	keyHTTPScheme:             "http.scheme",
	keyURLScheme:              "url.scheme",
	keyHTTPHost:               "http.host",
	keyHTTPTarget:             "http.target",
	keyURLQuery:               "url.query",
	keyHTTPServerName:         "http.server_name",
	keyNetHostPort:            "net.host.port",
	keyHostName:               "host.name",
	keyNetHostName:            "net.host.name",
	keyNetPeerName:            "net.peer.name",
	keyNetPeerPort:            "net.peer.port",
	keyNetPeerIP:              "net.peer.ip",
	keyNetworkPeerAddress:     "network.peer.address",
	keyClientAddress:          "client.address",
	keyURLPath:                "url.path",
	keyServerAddress:          "server.address",
	keyServerPort:             "server.port",

	// aws
	keyAWSOperation:  "aws.operation",
	keyAWSAccountID:  "aws.account_id",
	keyAWSRegion:     "aws.region",
	keyAWSRequestID:  "aws.request_id",
	keyAWSRequestID2: "aws.requestId",
	keyAWSQueueURL:   "aws.queue_url",
	keyAWSQueueURL2:  "aws.queue.url",
	keyAWSTableName:  "aws.table_name",
	keyAWSTableName2: "aws.table.name",
	keyRPCMethod:     "rpc.method",

	// sql
	keyDBConnectionString: "db.connection_string",
	keyDBSystem:           "db.system",
	keyDBName:             "db.name",
	keyDBStatement:        "db.statement",
	keyDBUser:             "db.user",

	// other
	keyHTTPStatusText:                   "http.status_text",
	keyPeerService:                      "peer.service",
	keyAWSService:                       "aws.service",
	keyRPCSystem:                        "rpc.system",
	keyRPCService:                       "rpc.service",
	keyMessagingURL:                     "messaging.url",
	keyAWSDynamoDBTableNames:            "aws.dynamodb.table_names",
	keyEnduserID:                        "enduser.id",
	keyAWSXRayAnnotations:               "aws.xray.annotations",
	keyAWSLocalService:                  "aws.local.service",
	keyAWSRemoteService:                 "aws.remote.service",
	keyAWSRemoteOperation:               "aws.remote.operation",
	keyRemoteTarget:                     "remoteTarget",
	keyK8sRemoteNamespace:               "K8s.RemoteNamespace",
	keyAWSSpanKind:                      "aws.span.kind",
	keyMessageType:                      "message.type",
	keyMessagingMessagePayloadSizeBytes: "messaging.message_payload_size_bytes",

	// native
	keyDBSystemName:                  "db.system.name",
	keyDBNamespace:                   "db.namespace",
	keyDBQueryText:                   "db.query.text",
	keyMessagingDestinationName:      "messaging.destination.name",
	keyMessagingDestination:          "messaging.destination",
	keyRPCSystemName:                 "rpc.system.name",
	keyUserID:                        "user.id",
	keyAWSS3Bucket:                   "aws.s3.bucket",
	keyAWSSNSTopicARN:                "aws.sns.topic.arn",
	keySQSQueueURL:                   "aws.sqs.queue.url",
	keyAWSRequestID3:                 "aws.request.id",
	keyAWSExtendedRequestID:          "aws.extended_request_id",
	keyCloudRegion:                   "cloud.region",
	keyAWSLambdaFunctionName:         "aws.lambda.function.name",
	keyFaasInvokedName:               "faas.invoked_name",
	keyAWSXRaySamplingRule:           "aws.xray.sampling_rule",
	keyAWSXRayInProgress:             "aws.xray.inprogress",
	keyHTTPResponseBodySize:          "http.response.body.size",
	keyHTTPResponseContentLength:     "http.response_content_length",
	keyDBCassandraKeyspace:           "db.cassandra.keyspace",
	keyDBElasticsearchCluster:        "db.elasticsearch.cluster.name",
	keyMessagingSystem:               "messaging.system",
	keyMessagingDestinationTemplate:  "messaging.destination.template",
	keyMessagingDestinationTemporary: "messaging.destination.temporary",
	keyMessagingDestinationAnonymous: "messaging.destination.anonymous",
	keyMessagingTempDestination:      "messaging.temp_destination",
	keyMessagingRabbitMQKey:          "messaging.rabbitmq.routing_key",
	keyMessagingRabbitMQRoutingKey:   "messaging.rabbitmq.destination.routing_key",
	keyGenAIProviderName:             "gen_ai.provider.name",
	keyGenAISystem:                   "gen_ai.system",
	keyNetSockPeerName:               "net.sock.peer.name",
	keyNetSockPeerAddr:               "net.sock.peer.addr",
	keyServerSocketDomain:            "server.socket.domain",
	keyServerSocketAddress:           "server.socket.address",

	// resource
	keyServiceName:            "service.name",
	keyServiceVersion:         "service.version",
	keyContainerImageTag:      "container.image.tag",
	keyCloudProvider:          "cloud.provider",
	keyCloudPlatform:          "cloud.platform",
	keyCloudAccountID:         "cloud.account.id",
	keyCloudAvailabilityZone:  "cloud.availability_zone",
	keyHostID:                 "host.id",
	keyHostType:               "host.type",
	keyHostImageID:            "host.image.id",
	keyContainerName:          "container.name",
	keyContainerID:            "container.id",
	keyK8sPodName:             "k8s.pod.name",
	keyK8sClusterName:         "k8s.cluster.name",
	keyServiceNamespace:       "service.namespace",
	keyServiceInstanceID:      "service.instance.id",
	keyTelemetrySDKName:       "telemetry.sdk.name",
	keyTelemetrySDKLanguage:   "telemetry.sdk.language",
	keyTelemetrySDKVersion:    "telemetry.sdk.version",
	keyTelemetryAutoVersion:   "telemetry.auto.version",
	keyTelemetryDistroVersion: "telemetry.distro.version",
	keyAWSECSClusterARN:       "aws.ecs.cluster.arn",
	keyAWSECSContainerARN:     "aws.ecs.container.arn",
	keyAWSECSTaskARN:          "aws.ecs.task.arn",
	keyAWSECSTaskFamily:       "aws.ecs.task.family",
	keyAWSECSLaunchtype:       "aws.ecs.launchtype",
	keyAWSLogGroupNames:       "aws.log.group.names",
	keyAWSLogGroupARNs:        "aws.log.group.arns",
	keyAWSXRayResourceARN:     "aws.xray.resource_arn",
	keyCloudResourceID:        "cloud.resource_id",

	// event
	keyExceptionType:       "exception.type",
	keyExceptionMessage:    "exception.message",
	keyExceptionStacktrace: "exception.stacktrace",
	keyAWSHTTPErrorMessage: "aws.http.error_message",
}

// keySlots is a hash table of keyNames: keyOf probes a few slots in a row. Every
// attribute of every span is looked up; a Go map takes four times as long.
var keySlots = func() (slots [512]key) {
	for k := keyOther + 1; k < keyCount; k++ {
		i := keyHash(keyNames[k])
		for slots[i] != keyOther {
			i = (i + 1) % len(slots)
		}
		slots[i] = k
	}
	return slots
}()

// shortestKey is the length of the shortest name.
const shortestKey = len("user.id")

// keyHash hashes length, end and middle of a name: most names begin alike.
func keyHash(name string) int {
	n := len(name)
	end := uint32(name[n-1]) | uint32(name[n-2])<<8 | uint32(name[n-3])<<16 | uint32(name[n-4])<<24
	middle := uint32(name[n/2]) | uint32(name[n/2-1])<<8
	return int((end*0x9e3779b1 + middle*0x85ebca6b + uint32(n)*0xc2b2ae35) >> 23)
}

// keyOf returns the key of an attribute name.
func keyOf(name string) key {
	if len(name) < shortestKey {
		return keyOther
	}
	for i := keyHash(name); ; i = (i + 1) % len(keySlots) {
		if k := keySlots[i]; k == keyOther || keyNames[k] == name {
			return k
		}
	}
}
