/** A JVM with a shutdown hook: TERM runs it, QUIT only prints a thread dump. */
public class Hook {
    public static void main(String[] arguments) throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook ran")));
        System.out.println("java ready");
        Thread.sleep(60_000);
    }
}
