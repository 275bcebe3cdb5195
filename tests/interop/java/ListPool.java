import de.timroes.axmlrpc.XMLRPCClient;
import de.timroes.axmlrpc.XMLRPCException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Date;
import java.util.Map;

/**
 * Lists the VMs of a pool with their states, and its hosts with their memory, through aXMLRPC (libaxmlrpc-java).
 *
 * <p>XENCIM_URL, XENCIM_USER and XENCIM_PASSWORD say where and as whom; without them, the demo's defaults.
 */
public class ListPool {
    private static final int DEADLINE = 60; // seconds for one call
    // Names are UTF-8, whatever the terminal's locale says.
    private final PrintStream out =
            new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    private final XMLRPCClient client;

    private ListPool(String url) throws Exception {
        // Values without a type are strings; the Xen-API sends all its strings and integers so.
        client = new XMLRPCClient(new URL(url), XMLRPCClient.FLAGS_DEFAULT_TYPE_STRING);
        client.setTimeout(DEADLINE);
    }

    /** The value of a call; a failure is an exception with the error's code and parameters. */
    private Object call(String method, Object... arguments) throws XMLRPCException {
        Map<String, Object> answer = struct(client.call(method, arguments));
        if ("Success".equals(answer.get("Status"))) {
            return answer.get("Value");
        }
        throw new IllegalStateException(method + ": " + Arrays.toString((Object[]) answer.get("ErrorDescription")));
    }

    @SuppressWarnings("unchecked") // the library's structs are maps by name
    private static Map<String, Object> struct(Object value) {
        return (Map<String, Object>) value;
    }

    private void list(String user, String password) throws XMLRPCException {
        Object session = call("session.login_with_password", user, password);
        struct(call("VM.get_all_records", session)).values().stream()
                .map(ListPool::struct)
                .filter(vm -> !(Boolean) vm.get("is_a_template") && !(Boolean) vm.get("is_a_snapshot"))
                .filter(vm -> !(Boolean) vm.get("is_control_domain"))
                .sorted(Comparator.comparing(vm -> (String) vm.get("name_label")))
                .forEach(vm -> out.println("VM " + vm.get("name_label") + " " + vm.get("power_state")));
        Object[] hosts = (Object[]) call("host.get_all", session);
        Arrays.sort(hosts);
        for (Object host : hosts) {
            Object reference = call("host.get_metrics", session, host);
            Map<String, Object> metrics = struct(call("host_metrics.get_record", session, reference));
            out.println(String.join(" ", "host", (String) call("host.get_name_label", session, host),
                    (Boolean) metrics.get("live") ? "live" : "down", (String) metrics.get("memory_free"),
                    (String) metrics.get("memory_total"), ((Date) metrics.get("last_updated")).toInstant().toString()));
        }
        call("session.logout", session);
    }

    private static String setting(String name, String fallback) {
        return System.getenv().getOrDefault(name, fallback);
    }

    public static void main(String[] arguments) throws Exception {
        ListPool pool = new ListPool(setting("XENCIM_URL", "http://127.0.0.1:9363"));
        try {
            pool.list(setting("XENCIM_USER", "root"), setting("XENCIM_PASSWORD", "xencim"));
        } catch (XMLRPCException | IllegalStateException failure) {
            System.err.println(failure.getMessage());
            System.exit(1);
        }
    }
}
