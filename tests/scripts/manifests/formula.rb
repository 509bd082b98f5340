# As much of Homebrew as our formula uses: reads it for a system, or installs a download into an empty prefix
# and runs the formula's own test.
#
#   ruby formula.rb FORMULA macos|linux arm|intel              its facts, as JSON
#   ruby formula.rb FORMULA linux intel DOWNLOAD PREFIX        also installs and tests
#
# https://docs.brew.sh/Formula-Cookbook
require "json"
require "fileutils"
require "open3"
require "pathname"
require "tmpdir"

FORMULA, SYSTEM, CPU, DOWNLOAD, PREFIX = ARGV

class Pathname
  # Moves files here; a file of settings that is there already stays.
  def install(source)
    mkpath
    pairs = source.is_a?(Hash) ? source : { source => File.basename(source) }
    pairs.each do |from, name|
      target = self + name
      target = self + "#{name}.default" if target.to_s.include?("/etc/") && target.exist?
      FileUtils.mv(from, target)
      target.chmod(0o555) if basename.to_s == "bin"
    end
  end
end

module Places
  def prefix = Pathname(PREFIX || "/prefix") + "Cellar"
  def bin = prefix + "bin"
  def opt_bin = bin
  def etc = Pathname(PREFIX || "/prefix") + "etc"
  def var = Pathname(PREFIX || "/prefix") + "var"
end

class Service
  include Places
  attr_reader :facts

  def initialize(&block)
    @facts = {}
    instance_eval(&block)
  end

  [:run, :keep_alive, :working_dir, :log_path, :error_log_path].each do |name|
    define_method(name) { |value| @facts[name] = value.is_a?(Array) ? value.map(&:to_s) : value }
  end
end

class Formula
  include Places

  class << self
    def facts = @facts ||= {}
    attr_reader :tests

    [:desc, :homepage, :version, :license, :url, :sha256].each do |name|
      define_method(name) do |value|
        raise "#{name} is there twice" if facts.key?(name)

        facts[name] = value
      end
    end
    def inherited(formula)
      super
      $formula = formula
    end
    def on_macos = (yield if SYSTEM == "macos")
    def on_linux = (yield if SYSTEM == "linux")
    def on_arm = (yield if CPU == "arm")
    def on_intel = (yield if CPU == "intel")
    def service(&block) = facts[:service] = Service.new(&block).facts
    def test(&block) = @tests = block
  end

  attr_accessor :buildpath, :testpath

  def version = self.class.facts[:version]

  def shell_output(command, status = 0)
    output, result = Open3.capture2(command)
    raise "#{command}: #{result.exitstatus} in place of #{status}\n#{output}" if result.exitstatus != status

    output
  end

  def assert_match(wanted, text)
    wanted = Regexp.new(Regexp.escape(wanted)) if wanted.is_a?(String)
    raise "#{wanted} does not match #{text}" unless wanted.match?(text)
  end
end

load FORMULA
facts = $formula.facts
formula = $formula.new
facts[:caveats] = formula.caveats
if DOWNLOAD
  Dir.mktmpdir do |folder|
    formula.buildpath = Pathname(folder)
    # Homebrew has a download under the name of its address.
    FileUtils.cp(DOWNLOAD, formula.buildpath + File.basename(facts[:url]))
    Dir.chdir(folder) { formula.install }
  end
  Dir.mktmpdir do |folder|
    formula.testpath = Pathname(folder)
    Dir.chdir(folder) { formula.instance_eval(&$formula.tests) }
  end
  facts[:tested] = true
end
puts JSON.generate(facts)
