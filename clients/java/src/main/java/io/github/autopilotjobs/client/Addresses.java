package io.github.autopilotjobs.client;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What an address says about the way to it. */
final class Addresses {
  private static final Pattern FORM =
      Pattern.compile("(?:dns:///)?(?:\\[(?<six>[^\\]]+)\\]|(?<host>[^:/]+))(?::\\d+)?");
  private static final Pattern LOOPBACK =
      Pattern.compile("localhost|127(?:\\.\\d{1,3}){3}|(?:0{1,4}:){1,7}0{0,3}1|::1");

  private Addresses() {}

  /** Whether nobody outside of this machine can see what is sent there. */
  static boolean isLoopback(String address) {
    if (address.startsWith("unix:")) {
      return true;
    }
    Matcher matcher = FORM.matcher(address);
    if (!matcher.matches()) {
      return false;
    }
    String host = matcher.group("six") != null ? matcher.group("six") : matcher.group("host");
    return LOOPBACK.matcher(host).matches();
  }
}
