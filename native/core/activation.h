#pragma once

#include <type_traits>

namespace sightline {

/**
 * Element-wise functions between the layers of an MLP (Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2):
 *   gelu        x Phi(x), with Phi the distribution function of the standard normal
 *   gelu_tanh   x / 2 * (1 + tanh u), u = sqrt(2 / pi) * (x + 0.044715 x^3)
 *   quick_gelu  x / (1 + exp(-1.702 x))
 */
enum class Activation { gelu, gelu_tanh, quick_gelu };

/** Calls body(std::integral_constant<Activation, kind>). */
template <class Body>
void with_activation(Activation kind, const Body& body) {
  switch (kind) {
    case Activation::gelu: return body(std::integral_constant<Activation, Activation::gelu>());
    case Activation::gelu_tanh: return body(std::integral_constant<Activation, Activation::gelu_tanh>());
    case Activation::quick_gelu: return body(std::integral_constant<Activation, Activation::quick_gelu>());
  }
}

}  // namespace sightline
