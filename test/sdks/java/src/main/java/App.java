import com.amazonaws.xray.AWSXRay;
import com.amazonaws.xray.AWSXRayRecorderBuilder;
import com.amazonaws.xray.entities.Segment;
import com.amazonaws.xray.entities.Subsegment;
import com.amazonaws.xray.proxies.apache.http.HttpClientBuilder;
import com.amazonaws.xray.strategy.sampling.AllSamplingStrategy;
import com.amazonaws.xray.strategy.sampling.CentralizedSamplingStrategy;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.util.EntityUtils;

/**
 * A plain program with the X-Ray SDK for Java: a segment with an annotation, a
 * failing subsegment and an HTTP call to the address in its argument. Prints the
 * trace id. With XRAY_SAMPLING=1 the sampling rules come from the service.
 */
public class App {
    public static void main(String[] args) throws Exception {
        boolean central = "1".equals(System.getenv("XRAY_SAMPLING"));
        AWSXRay.setGlobalRecorder(AWSXRayRecorderBuilder.standard()
            .withSamplingStrategy(central ? new CentralizedSamplingStrategy() : new AllSamplingStrategy()).build());
        Segment segment = AWSXRay.beginSegment("billing-java");
        segment.putAnnotation("invoice", 7);
        segment.putMetadata("billing", "currency", "EUR");
        Subsegment sub = AWSXRay.beginSubsegment("calculate");
        try {
            throw new IllegalStateException("no price", new ArithmeticException("/ by zero"));
        } catch (IllegalStateException e) {
            sub.addException(e);
        } finally {
            AWSXRay.endSubsegment();
        }
        try (var client = HttpClientBuilder.create().build(); var response = client.execute(new HttpGet(args[0]))) {
            EntityUtils.consume(response.getEntity());
        }
        System.out.println(segment.getTraceId());
        AWSXRay.endSegment();
    }
}
